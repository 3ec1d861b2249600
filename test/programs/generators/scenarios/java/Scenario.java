import com.google.gson.Gson;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.JSON;
import org.openapitools.client.api.*;
import org.openapitools.client.model.*;

// This generator sends an empty list for each list that is not set: what a request leaves out is set to null.
public class Scenario {
  static String env(String name) {
    return System.getenv(name);
  }

  static ApiClient clientWith(String token) {
    ApiClient client = new ApiClient().setBasePath(env("FS_URL"));
    client.setBearerToken(token);
    return client;
  }

  public static void main(String[] arguments) throws ApiException {
    ApiClient operator = clientWith(env("FS_TOKEN"));
    String factory = new FactoriesApi(operator).createFactory(new FactoryRequest().name(env("FS_FACTORY"))).getName();
    WrittenSecret secret =
        new SecretsApi(operator)
            .putSecret(factory, "aws_creds", new SecretWrite().value(env("FS_SECRET")), null, null, null, null);
    WrittenConfig config =
        new FactoryConfigApi(operator).putConfig(factory, env("FS_CONFIG"), null, null, null, null, null);
    CreatedJob job = new JobsApi(operator).createJob(factory, new JobRequest().name("build 1").grants(null));
    RegistryTokenReply tokens =
        new RegistryTokensApi(clientWith(job.getToken()))
            .issueRegistryTokens(factory, new RegistryTokenRequest().registry(env("FS_REGISTRY")).repositories(null).requests(null));
    TrustCondition condition =
        new TrustCondition().claim("repository_id").equalsAny(null).equalsAnyNumber(null).equalsNumber(123456789.0);
    TrustRuleRequest rule =
        new TrustRuleRequest()
            .name("numbers")
            .issuer(env("FS_ISSUER"))
            .audience("factory-secrets")
            .conditions(List.of(condition))
            .algorithms(null)
            .grants(List.of(new Grant().registry(env("FS_REGISTRY")).repositories(null).actions(List.of("pull"))));
    TrustRule stored = new AccessApi(operator).createTrustRule(factory, rule);

    int events = 0;
    int pages = 0;
    String next = null;
    do {
      AuditEventList page =
          new AuditApi(operator).listFactoryAudit(factory, 2L, next, null, null, null, null, null, null, null);
      events += page.getItems().size();
      pages += 1;
      next = page.getNextPageToken();
    } while (next != null);

    String problem = null;
    try {
      new FactoriesApi(operator).getFactory("no-such-factory");
    } catch (ApiException error) {
      problem = JSON.getGson().fromJson(error.getResponseBody(), Problem.class).getCode();
    }
    System.out.println(
        new Gson()
            .toJson(
                Map.of(
                    "secret", secret.getVersion(),
                    "config", config.getVersion(),
                    "username", tokens.getTokens().get(0).getUsername(),
                    "number", stored.getConditions().get(0).getEqualsNumber(),
                    "events", events,
                    "pages", pages,
                    "problem", problem)));
  }
}
