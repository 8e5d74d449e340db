SELECT * FROM {{ ref('fruit') }} WHERE price <= 0
