{% set schema = var.value.get('orders_schema', 'ORDERS') %}
{% set day = ti.xcom_pull(task_ids='choose_day') %}
-- One transaction replaces the day as a whole, so loading it again changes nothing.
DELETE FROM {{ schema }}.RAW_ORDERS WHERE ORDERED_AT::DATE = '{{ day }}';

-- FORCE, because Snowflake skips a file that it has loaded before, and the rows above are gone.
COPY INTO {{ schema }}.RAW_ORDERS (ORDER_ID, CUSTOMER, CURRENCY, AMOUNT, ORDERED_AT)
FROM @{{ schema }}.{{ params.stage }}/{{ day }}/
FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1)
FORCE = TRUE;
