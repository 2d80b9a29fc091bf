# Both images on both platforms, from source:
#   BUILDER=docker.io/library/golang@sha256:... docker buildx bake --file deploy/docker-bake.hcl
# BUILDER has no default on purpose: the Go image must be named by digest, or the build is not reproducible.
variable "BUILDER" {}

variable "VERSION" {
  default = "dev"
}

variable "SOURCE_DATE_EPOCH" {
  default = "0"
}

group "default" {
  targets = ["enclave", "parent"]
}

target "image" {
  context   = "."
  platforms = ["linux/amd64", "linux/arm64"]
  args = {
    BINARIES          = "compiled"
    BUILDER           = BUILDER
    VERSION           = VERSION
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
  output = ["type=cacheonly"]
}

target "enclave" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.enclave"
}

target "parent" {
  inherits   = ["image"]
  dockerfile = "Dockerfile.parent"
}
