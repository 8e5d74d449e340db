{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partitioned_by=['day']) }}
SELECT id, CAST('{{ var("round", "first") }}' AS varchar) AS round, CAST(day AS varchar) AS day FROM {{ ref('fruit') }}
{% if is_incremental() %} WHERE day = DATE '2024-01-02' {% endif %}
