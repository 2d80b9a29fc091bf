package cli

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"redoubt/bench/internal/corpus"
	"redoubt/bench/internal/measure"
	"redoubt/deploy/local/testkit"
	"redoubt/wire/kit/awsconfig"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/test/kms"
)

type recordCommand struct {
	where

	Out      string `arg:"" help:"File to write. It holds ciphertexts and wrapped keys; plaintexts are made up from its numbers." type:"path"`
	StandIn  string `help:"KMS stand-in of a local stack that wraps the keys, HOST:PORT of its plain listener." placeholder:"HOST:PORT"`
	KMSKey   string `name:"kms-key" help:"Key of AWS KMS that wraps them (ARN or alias), with the credentials of the environment." placeholder:"ARN"`
	Vaults   int    `help:"Vaults, each with a key of its own, 1 to 1000000." default:"200"`
	Fields   int    `help:"Fields of a write, 1 to 100." default:"10"`
	Writes   int    `help:"Writes of each vault, each sealed by itself, 1 to 100000." default:"1"`
	Suite    string `help:"Suite: ${suites}." default:"P-384" enum:"${suites}"`
	Encoding int    `help:"2 or 3." default:"3" enum:"2,3"`
	Region   string `help:"Region of the key." default:"us-east-1"`
	Prefix   string `help:"Beginning of the vault ids." default:"v_bench_"`
}

// Run makes a corpus: through an API if --url is given, and otherwise by sealing here.
func (c *recordCommand) Run(ctx context.Context, sink *measure.Sink) error {
	suite, err := sealed.SuiteNamed(c.Suite)
	if err != nil {
		return err
	}
	o := corpus.Options{
		Vaults: c.Vaults, Fields: c.Fields, Writes: c.Writes, Encoding: sealed.Encoding(c.Encoding),
		Region: c.Region, Prefix: c.Prefix, Suite: suite,
	}
	began := time.Now()
	records, err := c.make(ctx, o, sink)
	if err != nil {
		return err
	}
	if err := records.Save(c.Out); err != nil {
		return err
	}
	n := c.Vaults * c.Writes
	sink.Add(measure.Value("record/rate", float64(n)/time.Since(began).Seconds(), "writes/s", int64(n)))
	return nil
}

func (c *recordCommand) make(ctx context.Context, o corpus.Options, sink *measure.Sink) (*corpus.Corpus, error) {
	var n atomic.Int64
	progress := func(int) {
		if d := int(n.Add(1)); d%max(1, o.Vaults/10) == 0 {
			sink.Progress("record: %d of %d vaults", d, o.Vaults)
		}
	}
	given := 0
	for _, s := range []string{c.URL, c.StandIn, c.KMSKey} {
		if s != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, program.Mistake("give one of --url (an API), --stand-in and --kms-key")
	case c.StandIn != "":
		return corpus.Make(ctx, o, corpus.KMSWrap(testkit.KMSClient(c.StandIn), kms.AliasSymmetric), progress)
	case c.KMSKey != "":
		aws, err := awsconfig.Load(ctx, o.Region)
		if err != nil {
			return nil, err
		}
		return corpus.Make(ctx, o, corpus.KMSWrap(awskms.NewFromConfig(aws), c.KMSKey), progress)
	}
	tls, err := c.tls()
	if err != nil {
		return nil, err
	}
	bearer, err := c.bearer()
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: tls, MaxIdleConnsPerHost: 64}}
	return corpus.MakeAPI(ctx, o, corpus.API{URL: c.URL, Client: client, Bearer: bearer}, progress)
}
