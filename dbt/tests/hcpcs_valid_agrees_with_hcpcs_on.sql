-- A code has a row on a day exactly where it is called valid on that day.
with asked as (
    select code, valid_from as day from {{ ref('hcpcs_dim_code') }}
    union
    select code, cast(valid_from - 1 as date) from {{ ref('hcpcs_dim_code') }}
    union all
    select 'A0000', current_date
    union all
    select cast(null as varchar), current_date
),

answered as (
    select
        code,
        day,
        {{ hcpcs_valid('asked.code', 'asked.day') }} as is_valid,
        exists (
            select 1
            from {{ ref('hcpcs_dim_code') }} as codes
            where codes.code = asked.code and asked.day between codes.valid_from and codes.valid_to
        ) as has_row
    from asked
)

select * from answered where is_valid <> has_row
