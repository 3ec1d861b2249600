package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"

	api "github.com/GIT_USER_ID/GIT_REPO_ID"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	configuration := api.NewConfiguration()
	configuration.Servers = api.ServerConfigurations{{URL: os.Getenv("FS_URL")}}
	client := api.NewAPIClient(configuration)
	operator := context.WithValue(context.Background(), api.ContextAccessToken, os.Getenv("FS_TOKEN"))

	factory, _, err := client.FactoriesAPI.CreateFactory(operator).FactoryRequest(*api.NewFactoryRequest(os.Getenv("FS_FACTORY"))).Execute()
	check(err)
	write := api.NewSecretWrite()
	write.SetValue(os.Getenv("FS_SECRET"))
	secret, _, err := client.SecretsAPI.PutSecret(operator, factory.Name, "aws_creds").SecretWrite(*write).Execute()
	check(err)
	config, _, err := client.FactoryConfigAPI.PutConfig(operator, factory.Name).Body(os.Getenv("FS_CONFIG")).Execute()
	check(err)
	job, _, err := client.JobsAPI.CreateJob(operator, factory.Name).JobRequest(*api.NewJobRequest("build 1")).Execute()
	check(err)

	asJob := context.WithValue(context.Background(), api.ContextAccessToken, job.Token)
	ask := api.NewRegistryTokenRequest()
	ask.SetRegistry(os.Getenv("FS_REGISTRY"))
	tokens, _, err := client.RegistryTokensAPI.IssueRegistryTokens(asJob, factory.Name).RegistryTokenRequest(*ask).Execute()
	check(err)

	condition := api.NewTrustCondition("repository_id")
	condition.SetEqualsNumber(123456789)
	grant := api.NewGrant(os.Getenv("FS_REGISTRY"))
	grant.SetActions([]string{"pull"})
	rule := api.NewTrustRuleRequest("factory-secrets", []api.TrustCondition{*condition}, []api.Grant{*grant}, "numbers", os.Getenv("FS_ISSUER"))
	stored, _, err := client.AccessAPI.CreateTrustRule(operator, factory.Name).TrustRuleRequest(*rule).Execute()
	check(err)

	events, pages, next := 0, 0, ""
	for {
		request := client.AuditAPI.ListFactoryAudit(operator, factory.Name).PageSize(2)
		if next != "" {
			request = request.PageToken(next)
		}
		page, _, err := request.Execute()
		check(err)
		events, pages, next = events+len(page.Items), pages+1, page.GetNextPageToken()
		if next == "" {
			break
		}
	}

	_, _, err = client.FactoriesAPI.GetFactory(operator, "no-such-factory").Execute()
	var refused *api.GenericOpenAPIError
	if !errors.As(err, &refused) {
		panic("no typed error")
	}
	problem := refused.Model().(api.Problem)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"secret": secret.Version, "config": config.Version, "username": tokens.Tokens[0].GetUsername(),
		"number": stored.Conditions[0].GetEqualsNumber(), "events": events, "pages": pages, "problem": problem.Code,
	}))
}
