{#- No two rows have the same key, and no part of it is null. -#}
{% test hcpcs_unique_key(model, columns) %}
select {{ columns | join(', ') }}, count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1 {% for column in columns %}or count({{ column }}) < count(*) {% endfor %}
{% endtest %}
