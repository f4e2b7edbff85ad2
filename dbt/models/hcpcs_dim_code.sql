-- A slowly changing dimension of type 2: join on code and kind, with the day between valid_from and valid_to.
select
    kind || '|' || code || '|' || cast(episode as varchar) || '|' || cast(span_number as varchar) as hcpcs_code_key,
    kind,
    code,
    episode,
    span_number,
    valid_from,
    coalesce(valid_to, cast('9999-12-31' as date)) as valid_to,
    valid_to is null as is_open,
    short_description,
    long_description,
    betos_code,
    coverage_code,
    first_release,
    last_release,
    observed_gap,
    license_id,
    redistribution
from {{ source('hcpcs', 'hcpcs_history') }}
