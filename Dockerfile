# callgate in a small image that runs as nobody. Build: docker build -t callgate .
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libopus-dev pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY migrations ./migrations
COPY assets ./assets
COPY fixtures ./fixtures
COPY examples ./examples
COPY benches ./benches
COPY tests/types ./tests/types
RUN cargo build --locked --profile dist --features kms,polly,transcribe --bin callgate

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends libopus0 ca-certificates curl && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10735 --home-dir /var/lib/callgate --create-home callgate
COPY --from=build /src/target/dist/callgate /usr/local/bin/callgate
USER callgate
WORKDIR /var/lib/callgate
ENV CALLGATE_LISTEN=0.0.0.0:8080 CALLGATE_DATA_DIR=/var/lib/callgate/data CALLGATE_LOG_FORMAT=json
# The spool holds consented audio until the store has it: keep it on a volume.
VOLUME /var/lib/callgate/data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD curl -fsS http://127.0.0.1:8080/healthz || exit 1
ENTRYPOINT ["callgate"]
CMD ["serve"]
