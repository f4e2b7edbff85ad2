{#- No two spans of a key have a day in common, and none ends before it begins; a null `valid_to` is open. -#}
{% test hcpcs_no_overlap(model, columns, valid_from='valid_from', valid_to='valid_to') %}
select *
from (
    select
        {{ columns | join(', ') }},
        {{ valid_from }} as first_day,
        {{ valid_to }} as last_day,
        lead({{ valid_from }}) over (partition by {{ columns | join(', ') }} order by {{ valid_from }}) as next_first_day
    from {{ model }}
) as spans
where last_day < first_day
    or next_first_day <= last_day
    or (next_first_day is not null and last_day is null)
{% endtest %}
