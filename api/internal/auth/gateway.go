package auth

import (
	"context"
	"net/http"
	"strings"
)

type gatewayKey struct{}

// WithGateway puts the principal that API Gateway's authorizer established into a request's context. Only the Lambda
// host calls it. Nothing in the request itself can set it.
func WithGateway(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, gatewayKey{}, p)
}

// Gateway authenticates requests by the principal that the Lambda host put into their context.
type Gateway struct{}

// Authenticate reads the context.
func (Gateway) Authenticate(r *http.Request) (Principal, bool, error) {
	p, ok := r.Context().Value(gatewayKey{}).(Principal)
	return p, ok && p.Name != "", nil
}

// FromGateway reads the authorizer part of an event's request context, of REST APIs, HTTP APIs 1.0 and 2.0, and the
// ARN that IAM authorization leaves elsewhere in REST events. ok is false if nobody was authenticated.
//
// Names: "iam:ARN", "oidc:ISSUER|SUBJECT" for JWT and Cognito authorizers, "gateway:PRINCIPAL" for Lambda
// authorizers.
//
// Groups are those of "cognito:groups" or "groups", if API Gateway leaves no doubt about them: one group, or any
// number of Amazon Cognito's behind a JWT authorizer. A caller in several other groups has none. Allow such callers
// by their names, or authenticate them in api serve.
func FromGateway(authorizer map[string]any, userARN string) (p Principal, ok bool) {
	text := func(m map[string]any, key string) string {
		s, _ := m[key].(string)
		return s
	}
	object := func(m map[string]any, key string) map[string]any {
		o, _ := m[key].(map[string]any)
		return o
	}
	claims, jwt := object(object(authorizer, "jwt"), "claims"), true
	if claims == nil {
		claims, jwt = object(authorizer, "claims"), false
	}
	if arn := text(object(authorizer, "iam"), "userArn"); arn != "" {
		userARN = arn
	}
	switch {
	case text(claims, "sub") != "":
		p.Name = "oidc:" + text(claims, "iss") + "|" + text(claims, "sub")
		p.Groups = claimGroups(claims, jwt)
	case text(authorizer, "principalId") != "":
		p.Name = "gateway:" + text(authorizer, "principalId")
	case text(object(authorizer, "lambda"), "principalId") != "":
		p.Name = "gateway:" + text(object(authorizer, "lambda"), "principalId")
	case userARN != "":
		p.Name = "iam:" + userARN
	}
	return p, p.Name != "" && len(p.Name) <= maxName
}

// claimGroups reads a caller's groups. API Gateway flattens lists to text and escapes nothing: "[a b]" from a JWT
// authorizer, "a,b" from a Cognito authorizer. Text that could stand for different groups gives none: a member of the
// one group "Vault admin", which comes as "[Vault admin]", must not become a member of "admin".
func claimGroups(claims map[string]any, jwt bool) []string {
	for _, name := range []string{"cognito:groups", "groups"} {
		claim, ok := claims[name]
		if !ok {
			continue
		}
		flat, isText := claim.(string)
		if !isText {
			return groupsOf(claim)
		}
		issuer, _ := claims["iss"].(string)
		// Amazon Cognito's groups have no white space in their names (CreateGroup, pattern of GroupName).
		cognito := name == "cognito:groups" && strings.HasPrefix(issuer, "https://cognito-idp.")
		return groupsOf(unflatten(flat, jwt, cognito))
	}
	return nil
}

// unflatten splits a list that has become text, if that can be done in one way only. spaceless says that no name
// holds a space.
func unflatten(flat string, jwt, spaceless bool) []any {
	separator, list := ",", flat
	if jwt {
		inner, ok := strings.CutPrefix(flat, "[")
		inner, ok2 := strings.CutSuffix(inner, "]")
		if !ok || !ok2 {
			return []any{flat} // the claim was text, not a list
		}
		separator, list = " ", inner
	}
	names := strings.Split(list, separator)
	if len(names) > 1 && (!jwt || !spaceless) {
		return nil
	}
	out := make([]any, len(names))
	for i, name := range names {
		out[i] = name
	}
	return out
}
