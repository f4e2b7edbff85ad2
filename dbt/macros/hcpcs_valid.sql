{#- Whether CMS says that a code or modifier of HCPCS Level II was valid on a day; false for a null. Both are SQL. -#}
{% macro hcpcs_valid(code, day) -%}
exists (
    select 1
    from {{ source('hcpcs', 'hcpcs_validity') }} as hcpcs_validity
    where hcpcs_validity.kind in ('procedure', 'modifier')
        and not hcpcs_validity.is_interval
        and hcpcs_validity.status = 'valid'
        and hcpcs_validity.first_code = {{ code }}
        and hcpcs_validity.from_day <= {{ day }}
        and hcpcs_validity.to_day >= {{ day }}
)
{%- endmacro %}
