// Package lambdahost runs the API's handler on AWS Lambda behind API Gateway. Events of REST APIs (payload 1.0) and
// of HTTP APIs (payloads 1.0 and 2.0) become requests, and answers get the form that the gateway expects for that
// format.
//
// # Guarantees
//
//   - The caller's identity is taken from the event's request context, which API Gateway's authorizer filled, and
//     from nothing that the caller sent. Without an authorizer nobody is authenticated and nothing is served.
//   - Headers that appear several times stay several, so that two Authorization headers are not read as one.
//   - An answer is given before Lambda ends the invocation. The work's context ends a second before (or a quarter of
//     a short limit), and work that goes on after that is not waited for. The answer is then 503: `outcome_unknown`,
//     unless the request only read.
//   - An answer above 6 MB, which Lambda does not accept, becomes 413 `answer_too_large`. Pages of the audit log stay
//     below.
//   - Paths lose the stage and a custom domain's base path, which the route and its parameters show. A $default route
//     does not show it: with such a route, map the domain without a base path.
//   - An event that is not of a known format fails the invocation. It is not quoted.
//
// Sources: API Gateway Developer Guide, "Input format of a Lambda function for proxy integration" and "AWS Lambda
// proxy integrations for HTTP APIs"; Lambda's custom runtime API, through aws-lambda-go.
package lambdahost
