{{ config(materialized='table', table_type='iceberg') }}
SELECT id, name FROM {{ ref('fruit') }}
