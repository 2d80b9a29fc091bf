// Package lambdahost runs the API's handler on AWS Lambda behind API Gateway: events of REST APIs (payload 1.0) and
// of HTTP APIs (payloads 1.0 and 2.0) become requests, answers become what the gateway expects for that format.
//
// # Guarantees
//
//   - Who calls is taken from the event's request context, which API Gateway's authorizer filled, and from nothing
//     that the caller sent. Without an authorizer nobody is authenticated and nothing is served.
//   - Headers that appear several times stay several, so that two Authorization headers are not read as one.
//   - An answer is given before Lambda ends the invocation: the work's context ends a second before (or a quarter of a
//     short limit), and what goes on after that is not waited for. It is then 503: `outcome_unknown`, unless it only
//     read.
//   - An answer above 6 MB, which Lambda does not take, is 413 `answer_too_large`. Pages of the audit log stay below.
//   - Paths lose the stage and a custom domain's base path, which the route and its parameters tell. A $default route
//     tells nothing: there, map the domain without a base path.
//   - An event that is not of a known format fails the invocation without being quoted.
//
// Sources: API Gateway Developer Guide, "Input format of a Lambda function for proxy integration" and "AWS Lambda proxy
// integrations for HTTP APIs"; Lambda's custom runtime API, through aws-lambda-go.
package lambdahost
