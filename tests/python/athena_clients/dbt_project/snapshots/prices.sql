{% snapshot prices %}
{{ config(target_schema='dbt_lake', unique_key='id', strategy='check', check_cols=['price'], table_type='iceberg') }}
SELECT id, CASE WHEN id = 1 AND '{{ var("round", "first") }}' = 'second' THEN 9.0 ELSE price END AS price FROM {{ ref('fruit') }}
{% endsnapshot %}
