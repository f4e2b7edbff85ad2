{#- What every code and modifier meant on a day: rows of hcpcs_history, one for each kind and code. `day` is SQL. -#}
{% macro hcpcs_on(day) -%}
(
    select *
    from {{ source('hcpcs', 'hcpcs_history') }}
    where valid_from <= {{ day }} and (valid_to is null or valid_to >= {{ day }})
)
{%- endmacro %}
