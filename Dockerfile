# One image for every process of ours; the compose file names the command. Kafka and ClickHouse come as their official images.
FROM python:3.11-slim AS build
WORKDIR /source
COPY requirements.lock .
RUN python -m venv /opt/waterline && /opt/waterline/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN /opt/waterline/bin/pip install --no-cache-dir --no-build-isolation --no-deps .

FROM python:3.11-slim
COPY --from=build /opt/waterline /opt/waterline
RUN useradd --system --create-home --home-dir /var/lib/waterline waterline
USER waterline
WORKDIR /var/lib/waterline
ENV PATH=/opt/waterline/bin:$PATH PYTHONUNBUFFERED=1 WATERLINE_DATA_DIR=/var/lib/waterline
VOLUME /var/lib/waterline
ENTRYPOINT ["waterline"]
