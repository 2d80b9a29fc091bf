package httpapi_test

import "context"

type ctx = context.Context

func nothing(context.Context) error { return nil }
