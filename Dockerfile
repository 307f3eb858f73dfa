# The demo, with its part in Redis: docker build -t tower-step-up-demo .
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --example demo --features redis \
    && cp target/release/examples/demo /demo

FROM debian:bookworm-slim
COPY --from=build /demo /usr/local/bin/demo
# No account of the image, and nothing to write to.
USER 65532:65532
ENV DEMO_ADDR=0.0.0.0:3000
EXPOSE 3000
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3000 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"]
CMD ["demo"]
