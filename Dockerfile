# A small image without a shell, run by a user without rights:
#   docker build -t databuddy-jobs . && docker run -v "$PWD:/project" -e DATABUDDY_API_KEY databuddy-jobs run nightly-export
# Mount a folder that the user 65532 may write, or name another with --user.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --locked --release --bin databuddy-jobs && cp target/release/databuddy-jobs /databuddy-jobs

# glibc, certificates and time zones, and nothing else
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /databuddy-jobs /usr/bin/databuddy-jobs
WORKDIR /project
USER 65532:65532
ENV DATABUDDY_JOBS_WEB_LISTEN=127.0.0.1:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/databuddy-jobs"]
CMD ["serve"]
