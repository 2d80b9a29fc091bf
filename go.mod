module redoubt

go 1.26.0

// What releases are built with, to the byte.
toolchain go1.26.8

require (
	cel.dev/cel-go v0.33.2 // expressions: parser, checker and evaluation, inside the enclave
	github.com/CycloneDX/cyclonedx-go v0.12.0 // writes the bill of materials of a release
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // bench: latencies with bounded error
	github.com/alecthomas/kong v1.17.0 // command lines and their help
	github.com/aws/aws-lambda-go v1.55.1 // the API and the canary as Lambda functions
	github.com/aws/aws-sdk-go-v2 v1.48.0 // AWS calls: signing, retries, endpoints
	github.com/aws/aws-sdk-go-v2/config v1.33.18 // AWS settings of the API and of tools, as AWS documents them
	github.com/aws/aws-sdk-go-v2/credentials v1.21.0 // AWS credentials of tools and tests that name their own
	github.com/aws/aws-sdk-go-v2/feature/ec2/imds v1.20.9 // the host's credentials, IMDSv2
	github.com/aws/aws-sdk-go-v2/service/dynamodb v1.74.0 // the API's store on DynamoDB
	github.com/aws/aws-sdk-go-v2/service/kms v1.62.6 // KMS: Decrypt in the enclave, key pairs and MACs in the API
	github.com/aws/smithy-go v1.28.9 // the SDK's errors and middleware
	github.com/chromedp/cdproto v0.160.2 // tests of pages in a browser: its protocol
	github.com/chromedp/chromedp v0.23.1 // tests of pages in a browser
	github.com/cloudflare/circl v1.6.5 // HPKE, RFC 9180
	github.com/coreos/go-oidc/v3 v3.21.0 // the API's OIDC callers: discovery and key sets
	github.com/danielgtaylor/huma/v2 v2.37.2 // the API's OpenAPI document, from its Go types
	github.com/fxamacker/cbor/v2 v2.10.0 // CBOR: attestation documents, image manifests, entries of the embedded store
	github.com/go-jose/go-jose/v4 v4.1.9 // OIDC tokens: their signatures
	github.com/goccy/go-yaml v1.19.2 // configuration files, with positions in errors
	github.com/hashicorp/yamux v0.1.2 // egress streams of a session, and the oracle of our own streams
	github.com/hf/nsm v0.0.0-20220930140112-cd181bd646b9 // the Nitro Security Module's requests and answers
	github.com/mdlayher/socket v0.8.0 // a dial of vsock that a context can end
	github.com/mdlayher/vsock v1.4.0 // vsock between parent and enclave
	github.com/pb33f/jsonschema/v6 v6.0.3 // tests: CloudWatch's embedded metric format by its schema
	github.com/pb33f/libopenapi v0.42.5 // tests: the API's OpenAPI document
	github.com/pb33f/libopenapi-validator v0.16.3 // tests: each answer of the API against its document
	github.com/pires/go-proxyproto v0.15.0 // PROXY protocol v2 from the load balancer; 0.16 asks for Go 1.26.9
	github.com/prometheus/client_golang v1.25.0 // metrics of parent, API and canary
	github.com/prometheus/client_model v0.6.3 // native histograms of enclaves, beside client_golang
	github.com/prometheus/common v0.74.0 // tests: metrics as text
	github.com/tetratelabs/wazero v1.12.0 // simulations: runs the whole path with a clock and random numbers of its own
	github.com/valyala/fasthttp v1.78.0 // the parent's HTTP server, and the API's client of it
	github.com/valyala/fastjson v1.6.10 // the parent's requests, without allocations
	go.etcd.io/bbolt v1.5.0 // the API's embedded store
	go.opentelemetry.io/proto/slim/otlp v1.11.1 // spans as OTLP has them, without gRPC
	go.uber.org/goleak v1.3.0 // tests: goroutines that stay
	golang.org/x/crypto v0.59.0 // cryptobyte: ASN.1 of keys, without reflection
	golang.org/x/mod v0.43.0 // signed notes: the policy
	golang.org/x/sync v0.25.0 // calls that many callers share, and groups of goroutines
	golang.org/x/sys v0.50.0 // system calls: locked memory, sockets, vsock, files
	golang.org/x/text v0.44.0 // upper, lower and title case of expressions
	golang.org/x/time v0.16.0 // rates of requests and log entries
	google.golang.org/protobuf v1.36.12 // encoding of spans
	pgregory.net/rapid v1.3.0 // tests of properties
)

require (
	cel.dev/expr v0.25.1 // indirect
	github.com/antlr4-go/antlr/v4 v4.13.1 // indirect
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.5.12 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.8.12 // indirect
	github.com/aws/aws-sdk-go-v2/internal/v4a v1.5.12 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding v1.13.25 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/endpoint-discovery v1.13.12 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/presigned-url v1.14.12 // indirect
	github.com/aws/aws-sdk-go-v2/service/signin v1.13.1 // indirect
	github.com/aws/aws-sdk-go-v2/service/sso v1.39.5 // indirect
	github.com/aws/aws-sdk-go-v2/service/ssooidc v1.44.5 // indirect
	github.com/aws/aws-sdk-go-v2/service/sts v1.52.0 // indirect
	github.com/bahlo/generic-list-go v0.2.0 // indirect
	github.com/basgys/goxml2json v1.1.1-0.20231018121955-e66ee54ceaad // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/buger/jsonparser v1.6.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/go-openapi/jsonpointer v1.0.2 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/molecule-man/go-brrr v1.3.1 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pandatix/go-abnf v0.5.5 // indirect
	github.com/pb33f/go-yaml v0.1.1 // indirect
	github.com/pb33f/jsonpath v0.8.5 // indirect
	github.com/pb33f/ordered-map/v2 v2.3.2 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/exp v0.0.0-20240823005443-9b4947da3948 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/oauth2 v0.38.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20240826202546-f6391c0de4c7 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240826202546-f6391c0de4c7 // indirect
)
