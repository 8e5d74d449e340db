{{ config(materialized='table', format='parquet', partitioned_by=['day']) }}
SELECT id, name, price, CAST(day AS varchar) AS day FROM {{ ref('fruit') }}
