-- On days of several years the macro gives each kind and code once.
{% set days = ["date '2010-06-30'", "date '2018-01-01'", "date '2025-10-01'", 'current_date'] %}
{% for day in days %}
select kind, code, count(*) as row_count
from {{ hcpcs_on(day) }} as on_day
group by kind, code
having count(*) > 1
{{ 'union all' if not loop.last }}
{% endfor %}
