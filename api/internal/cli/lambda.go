package cli

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/emf"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/lambdahost"
)

// processStart is when the process began, as exactly as Go code can tell.
var processStart = time.Now()

type lambdaCmd struct {
	LogLevel string `help:"debug, info, warn or error." env:"API_LOG_LEVEL" default:"info" enum:"debug,info,warn,error"`

	appFlags `embed:""`
}

// Run serves invocations until Lambda ends the process. API Gateway's authorizer names the caller, and the policy
// says what the caller may do. Metrics are written as lines to standard output, and nothing else is written there.
func (cmd *lambdaCmd) Run(e *env) error {
	if cmd.Policy == "" {
		return hint(errors.New("lambda needs a policy"),
			"put a policy file into the package and set API_POLICY; without rules nobody may do anything")
	}
	cmd.inline = true
	log := logger(e, cmd.LogLevel)
	a, err := build(e.ctx, e.version, log, &cmd.appFlags, []httpapi.Authenticator{auth.Gateway{}})
	if err != nil {
		return err
	}
	defer a.close()
	numbers := emf.New(emf.Config{
		Out: e.out, Function: os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), Version: e.version,
		Init: time.Since(processStart), Cold: os.Getenv("AWS_LAMBDA_INITIALIZATION_TYPE") == "on-demand",
	})
	a.metrics.Tell(numbers)
	lambdahost.Run(a.handler, func() {
		if err := numbers.Flush(); err != nil {
			log.Error("metrics not written", slog.Any("error", err))
		}
	})
	return nil
}
