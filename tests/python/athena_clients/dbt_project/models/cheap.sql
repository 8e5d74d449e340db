{{ config(materialized='view') }}
SELECT id, name FROM {{ ref('fruit') }} WHERE price < 2
