//! The page `docs/athena-functions.md`: which of Trino's functions there are, with their forms. It is made from the tables of functions, and a test
//! keeps it true: each function that it ticks has a check of `tests/slt` that passes.

use super::listed::{Catalog, present};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// Functions of Trino's that there are not.
const MISSING: &[(&str, &[&str])] = &[
    ("Aggregate", &["approx_set"]),
    ("Color", &["bar", "color", "render", "rgb"]),
    ("Date and time", &["current_time", "localtime", "localtimestamp"]),
    ("JSON", &["json_scalar", "json_serialize", "json_table"]),
    ("String", &["normalize", "word_stem"]),
    (
        "Sketches",
        &[
            "empty_approx_set",
            "merge",
            "qdigest_agg",
            "tdigest_agg",
            "value_at_quantile",
            "values_at_quantiles",
            "quantile_at_value",
            "make_set_digest",
            "merge_set_digest",
            "intersection_cardinality",
            "jaccard_index",
            "hash_counts",
            "theta_sketch_cardinality",
            "theta_sketch_union",
        ],
    ),
    ("Session", &["current_user", "current_groups", "current_catalog", "current_schema", "exclude_columns"]),
    ("Teradata", &["char2hexint", "index"]),
    (
        "Machine learning",
        &[
            "features",
            "classify",
            "learn_classifier",
            "learn_libsvm_classifier",
            "learn_libsvm_regressor",
            "learn_regressor",
            "regress",
        ],
    ),
    (
        "Geospatial",
        &[
            "bing_tile",
            "bing_tile_at",
            "bing_tile_coordinates",
            "bing_tile_polygon",
            "bing_tile_quadkey",
            "bing_tile_zoom_level",
            "bing_tiles_around",
            "convex_hull_agg",
            "from_encoded_polyline",
            "from_geojson_geometry",
            "geometry_collect_agg",
            "geometry_from_hadoop_shape",
            "geometry_invalid_reason",
            "geometry_nearest_points",
            "geometry_to_bing_tiles",
            "geometry_union",
            "geometry_union_agg",
            "great_circle_distance",
            "line_interpolate_point",
            "line_interpolate_points",
            "line_locate_point",
            "simplify_geometry",
            "spatial_partitioning",
            "spatial_partitions",
            "ST_Area",
            "ST_AsBinary",
            "ST_AsEWKB",
            "ST_AsEWKT",
            "ST_AsText",
            "ST_Boundary",
            "ST_Buffer",
            "ST_Centroid",
            "ST_Collect",
            "ST_Contains",
            "ST_ConvexHull",
            "ST_CoordDim",
            "ST_Crosses",
            "ST_Difference",
            "ST_Dimension",
            "ST_Disjoint",
            "ST_Distance",
            "ST_EndPoint",
            "ST_Envelope",
            "ST_EnvelopeAsPts",
            "ST_Equals",
            "ST_ExteriorRing",
            "ST_Force2D",
            "ST_Force3D",
            "ST_Geometries",
            "ST_GeometryFromText",
            "ST_GeometryN",
            "ST_GeometryType",
            "ST_GeomFromBinary",
            "ST_GeomFromEWKT",
            "ST_GeomFromKML",
            "ST_InteriorRings",
            "ST_InteriorRingN",
            "ST_Intersects",
            "ST_Intersection",
            "ST_IsClosed",
            "ST_IsEmpty",
            "ST_IsSimple",
            "ST_IsRing",
            "ST_IsValid",
            "ST_Length",
            "ST_LineFromText",
            "ST_LineMerge",
            "ST_LineString",
            "ST_MakeLine",
            "ST_MakePolygon",
            "ST_MinimumBoundingCircle",
            "ST_Multi",
            "ST_MultiPoint",
            "ST_Normalize",
            "ST_NumGeometries",
            "ST_NumInteriorRing",
            "ST_NumPoints",
            "ST_OrientedEnvelope",
            "ST_Overlaps",
            "ST_Point",
            "ST_PointN",
            "ST_PointOnSurface",
            "ST_Points",
            "ST_Polygon",
            "ST_Polygonize",
            "ST_Relate",
            "ST_ReducePrecision",
            "ST_SetSRID",
            "ST_SRID",
            "ST_StartPoint",
            "ST_SymDifference",
            "ST_Touches",
            "ST_Transform",
            "ST_TransformXY",
            "ST_Union",
            "ST_VoronoiPolygons",
            "ST_Within",
            "ST_X",
            "ST_XMax",
            "ST_XMin",
            "ST_Y",
            "ST_YMax",
            "ST_YMin",
            "ST_Z",
            "to_encoded_polyline",
            "to_geojson_geometry",
            "to_geometry",
            "to_spherical_geography",
        ],
    ),
];

fn page(catalog: &Catalog) -> String {
    let count: usize = catalog.values().map(BTreeMap::len).sum();
    let missing: usize = MISSING.iter().map(|(_, names)| names.len()).sum();
    let mut page = format!(
        "# Functions of Athena's SQL\n\nComputed from the engine's tables of functions; a test keeps this page true, and that each function here has a check \
         with a result of Trino's documentation that passes (`crates/millpond-engine/tests/slt`). What these files hold and does not pass yet is listed in \
         `known_failures.txt` beside them.\n\n{count} of Trino's functions are there, {missing} are not.\n"
    );
    let groups: BTreeSet<&str> = catalog.keys().copied().chain(MISSING.iter().map(|(group, _)| *group)).collect();
    for group in groups {
        write!(page, "\n## {group}\n\n").unwrap();
        for (name, forms) in catalog.get(group).into_iter().flatten() {
            let forms: Vec<String> = forms.iter().map(|form| format!("`{name}{form}`").replace('|', "\\|")).collect();
            let forms = forms.into_iter().map(|form| if form.contains('(') { form } else { format!("`{name}`") });
            writeln!(page, "- [x] {}", forms.collect::<Vec<_>>().join(", ")).unwrap();
        }
        for name in MISSING.iter().filter(|(other, _)| *other == group).flat_map(|(_, names)| *names) {
            writeln!(page, "- [ ] `{name}`").unwrap();
        }
    }
    page
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All statements of `tests/slt` that give a result and pass.
fn checks(folder: &Path, root: &Path, known: &BTreeSet<String>, out: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            checks(&path, root, known, out);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            for record in read(&path).split("\n\n") {
                let Some((_, statement)) = record.split_once("query ").and_then(|(_, rest)| rest.split_once('\n')) else {
                    continue;
                };
                let statement = statement.split("\n----").next().unwrap_or_default();
                let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
                if !known.contains(&format!("{name}: {statement}")) {
                    writeln!(out, "{}", statement.to_lowercase()).unwrap();
                }
            }
        }
    }
}

#[test]
fn the_page_says_which_functions_there_are() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let catalog = present();
    let names: BTreeSet<&str> = catalog.values().flat_map(BTreeMap::keys).map(String::as_str).collect();
    assert!(names.len() >= 250, "there were 250 functions: {}", names.len());
    for name in MISSING.iter().flat_map(|(_, names)| *names) {
        assert!(!names.contains(name), "{name} is there: take it off MISSING");
    }
    let path = crate_root.join("../../docs/athena-functions.md");
    let page = page(&catalog);
    if std::env::var_os("MILLPOND_UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        read(&path) == page,
        "docs/athena-functions.md is old: run `MILLPOND_UPDATE=1 cargo test -p millpond-engine page_says` and commit it"
    );

    let root = crate_root.join("tests/slt");
    let known: BTreeSet<String> = read(&root.join("known_failures.txt")).lines().map(str::to_owned).collect();
    let mut statements = String::new();
    checks(&root, &root, &known, &mut statements);
    let called = |name: &str| {
        let pattern = regex::Regex::new(&format!(r"\b{}\b", regex::escape(&name.to_lowercase()))).unwrap();
        pattern.is_match(&statements)
    };
    let unchecked: Vec<&str> = names.into_iter().filter(|name| !called(name)).collect();
    assert!(unchecked.is_empty(), "functions without a check that passes: {unchecked:?}");
}
