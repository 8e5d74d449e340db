{{ config(materialized='incremental', incremental_strategy='append') }}
SELECT id, CAST('{{ var("round", "first") }}' AS varchar) AS round FROM {{ ref('fruit') }}
