package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"

	api "example.com/client/api"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func clientWith(token string) *api.ClientWithResponses {
	client, err := api.NewClientWithResponses(os.Getenv("FS_URL"), api.WithRequestEditorFn(
		func(_ context.Context, request *http.Request) error {
			request.Header.Set("Authorization", "Bearer "+token)
			return nil
		}))
	check(err)
	return client
}

func main() {
	ctx := context.Background()
	operator := clientWith(os.Getenv("FS_TOKEN"))

	created, err := operator.CreateFactoryWithResponse(ctx, api.FactoryRequest{Name: os.Getenv("FS_FACTORY")})
	check(err)
	factory := created.JSON201.Name
	value := os.Getenv("FS_SECRET")
	secret, err := operator.PutSecretWithResponse(ctx, factory, "aws_creds", nil, api.SecretWrite{Value: &value})
	check(err)
	config, err := operator.PutConfigWithBodyWithResponse(ctx, factory, nil, "application/yaml", strings.NewReader(os.Getenv("FS_CONFIG")))
	check(err)
	job, err := operator.CreateJobWithResponse(ctx, factory, api.JobRequest{Name: "build 1"})
	check(err)

	registry := os.Getenv("FS_REGISTRY")
	tokens, err := clientWith(job.JSON201.Token).IssueRegistryTokensWithResponse(ctx, factory, api.RegistryTokenRequest{Registry: &registry})
	check(err)

	number, actions := 123456789.0, []string{"pull"}
	rule := api.TrustRuleRequest{
		Name: "numbers", Issuer: os.Getenv("FS_ISSUER"), Audience: "factory-secrets",
		Conditions: []api.TrustCondition{{Claim: "repository_id", EqualsNumber: &number}}, Grants: []api.Grant{{Registry: registry, Actions: &actions}},
	}
	stored, err := operator.CreateTrustRuleWithResponse(ctx, factory, rule)
	check(err)

	events, pages := 0, 0
	size := api.PageSizeInQuery(2)
	params := api.ListFactoryAuditParams{PageSize: &size}
	for {
		page, err := operator.ListFactoryAuditWithResponse(ctx, factory, &params)
		check(err)
		events, pages = events+len(page.JSON200.Items), pages+1
		if page.JSON200.NextPageToken == nil {
			break
		}
		params.PageToken = page.JSON200.NextPageToken
	}

	missing, err := operator.GetFactoryWithResponse(ctx, "no-such-factory")
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"secret": secret.JSON201.Version, "config": config.JSON201.Version,
		"username": (*tokens.JSON200.Tokens)[0].Username, "number": *stored.JSON201.Conditions[0].EqualsNumber,
		"events": events, "pages": pages, "problem": missing.ApplicationproblemJSON404.Code,
	}))
}
