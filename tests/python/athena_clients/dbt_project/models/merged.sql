{{ config(materialized='incremental', table_type='iceberg', incremental_strategy='merge', unique_key='id') }}
SELECT id, CAST('{{ var("round", "first") }}' AS varchar) AS round FROM {{ ref('fruit') }}
{% if is_incremental() %} WHERE id >= 3 UNION ALL SELECT 4, CAST('{{ var("round", "first") }}' AS varchar) {% endif %}
