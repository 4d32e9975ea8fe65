# Score images on a CPU, as the user who owns the folder:
#   docker build --tag ganlib .
#   docker run --rm --user "$(id -u)" --volume "$PWD:/work" ganlib score parts.keras new/ --csv scores.csv
FROM python:3.12.11-slim-bookworm
COPY pyproject.toml README.md LICENSE requirements.txt /source/
COPY ganlib /source/ganlib
RUN pip install --no-cache-dir --constraint /source/requirements.txt /source tensorflow-cpu
# A user without a name has no home directory.
ENV HOME=/tmp TF_CPP_MIN_LOG_LEVEL=2
USER 10001
WORKDIR /work
ENTRYPOINT ["ganlib"]
CMD ["--help"]
