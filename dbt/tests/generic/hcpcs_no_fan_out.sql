{#- Joined to the dimension by code and day, no row of a model becomes two: `key` names it; the rest is SQL. -#}
{% test hcpcs_no_fan_out(model, key, code, day, kind="'procedure'") %}
select claims.claim_key, count(*) as row_count
from (
    select {{ key }} as claim_key, {{ code }} as claim_code, {{ day }} as claim_day, {{ kind }} as claim_kind
    from {{ model }}
) as claims
left join {{ ref('hcpcs', 'hcpcs_dim_code') }} as codes
    on codes.kind = claims.claim_kind
    and codes.code = claims.claim_code
    and claims.claim_day between codes.valid_from and codes.valid_to
group by claims.claim_key
having count(*) > 1
{% endtest %}
