"""Domain names: a distribution that caches nothing, hands the caller's signature on, and signs only where asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_cdk.assertions import Annotations, Match, Template

from infra.app import compose
from infra.stages import read_stage
from layers.errors import CatalogueError
from tests.infra.conftest import Templates
from tests.infra.projects import app_of, write_project
from tests.infra.resources import of_type, only

DISTRIBUTION, PERMISSION, RECORD = "AWS::CloudFront::Distribution", "AWS::Lambda::Permission", "AWS::Route53::RecordSet"
# CloudFront's managed policies, by the ids that AWS documents: CachingDisabled, AllViewerExceptHostHeader.
NO_CACHE, ALL_BUT_HOST = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "b689b0a8-53d0-40ab-baf2-68738e2966ac"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b"
ACL = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/few/0a1b"
NAMED = ("plain-v1.5", "everything", "open")
CLOSED = '[closed]\nsource = "checkpoint"\ntask = "text-classification"\n'


def stages_of(table: str, owner: str = "plain-v1.5", stage: str = "") -> str:
    """`stages.toml` with one domain; `table` follows its name and certificate, and may replace them."""
    given = "\n".join(
        line
        for line in ('name = "a.example.org"', f'certificate_arn = "{CERTIFICATE}"')
        if line.split(" = ")[0] not in table
    )
    return f'[dev]\n{stage}\n[dev.domains."{owner}"]\n{given}\n{table}\n'


@pytest.mark.parametrize("name", NAMED)
def test_a_named_model_has_a_distribution_that_caches_nothing(prod: Templates, name: str) -> None:
    settings = only(prod[name], DISTRIBUTION)["DistributionConfig"]
    assert settings["Aliases"] == [f"{name.removesuffix('-v1.5')}.example.org"]
    behaviour = settings["DefaultCacheBehavior"]
    assert (behaviour["CachePolicyId"], behaviour["OriginRequestPolicyId"]) == (NO_CACHE, ALL_BUT_HOST)
    assert (behaviour["ViewerProtocolPolicy"], behaviour["Compress"]) == ("https-only", False)
    assert "POST" in behaviour["AllowedMethods"]
    assert settings["ViewerCertificate"]["AcmCertificateArn"] == CERTIFICATE
    assert settings["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"


@pytest.mark.parametrize("name", NAMED)
def test_it_leads_to_the_url_over_tls_and_waits_as_long_as_the_function(prod: Templates, name: str) -> None:
    [origin] = only(prod[name], DISTRIBUTION)["DistributionConfig"]["Origins"]
    [url] = of_type(prod[name], "AWS::Lambda::Url")
    assert url in str(origin["DomainName"])
    assert origin["CustomOriginConfig"] == {
        "OriginProtocolPolicy": "https-only",
        "OriginReadTimeout": 60,
        "OriginSSLProtocols": ["TLSv1.2"],
    }


def test_a_callers_own_signature_is_asked_for_unless_cloudfront_shall_sign(prod: Templates) -> None:
    """CloudFront signs for anybody: a domain must not open a URL that is for IAM's callers."""
    for name in ("plain-v1.5", "open"):
        prod[name].resource_count_is("AWS::CloudFront::OriginAccessControl", 0)
        principals = [each["Properties"]["Principal"] for each in of_type(prod[name], PERMISSION).values()]
        assert "cloudfront.amazonaws.com" not in principals
    assert only(prod["plain-v1.5"], "AWS::Lambda::Url")["AuthType"] == "AWS_IAM"


def test_where_cloudfront_signs_it_has_both_permissions_and_no_other_distribution_has(prod: Templates) -> None:
    template = prod["everything"]
    [(control, settings)] = of_type(template, "AWS::CloudFront::OriginAccessControl").items()
    assert settings["Properties"]["OriginAccessControlConfig"]["SigningBehavior"] == "always"
    assert settings["Properties"]["OriginAccessControlConfig"]["OriginAccessControlOriginType"] == "lambda"
    [(distribution, resource)] = of_type(template, DISTRIBUTION).items()
    [origin] = resource["Properties"]["DistributionConfig"]["Origins"]
    assert origin["OriginAccessControlId"]["Fn::GetAtt"] == [control, "Id"]
    [alias] = [name for name in of_type(template, "AWS::Lambda::Alias") if name.startswith("HttpsLive")]
    granted = [
        each["Properties"]
        for each in of_type(template, PERMISSION).values()
        if each["Properties"]["Principal"] == "cloudfront.amazonaws.com"
    ]
    assert sorted((each["Action"], each.get("InvokedViaFunctionUrl", False)) for each in granted) == [
        ("lambda:InvokeFunction", True),
        ("lambda:InvokeFunctionUrl", False),
    ]
    for each in granted:
        assert each["FunctionName"] == {"Ref": alias}
        assert each["SourceArn"]["Fn::Join"][1][-1] == {"Ref": distribution}


@pytest.mark.parametrize(
    ("table", "warned"),
    [("", False), ('signed_by = "cloudfront"', True), (f'signed_by = "cloudfront"\nweb_acl_arn = "{ACL}"', False)],
    ids=["caller", "anybody", "whom the web ACL lets in"],
)
def test_a_domain_that_everybody_may_use_is_warned_about(tmp_path: Path, table: str, warned: bool) -> None:
    [stack] = compose(app_of(write_project(tmp_path, CLOSED, stages_of(table, owner="closed")), "dev"))
    loud = Match.string_like_regexp("ANYBODY on the internet can call https://a.example.org")
    assert bool(Annotations.from_stack(stack).find_warning("*", loud)) is warned


def test_a_zone_that_is_given_leads_the_name_there(prod: Templates) -> None:
    records = [each["Properties"] for each in of_type(prod["plain-v1.5"], RECORD).values()]
    assert sorted(each["Type"] for each in records) == ["A", "AAAA"]
    [distribution] = of_type(prod["plain-v1.5"], DISTRIBUTION)
    for each in records:
        assert (each["Name"], each["HostedZoneId"]) == ("plain.example.org.", "Z0123456789ABC")
        assert each["AliasTarget"]["DNSName"]["Fn::GetAtt"] == [distribution, "DomainName"]


def test_without_a_zone_the_target_is_an_output(prod: Templates) -> None:
    prod["open"].resource_count_is(RECORD, 0)
    outputs = {name: prod[name].to_json()["Outputs"] for name in NAMED}
    assert outputs["open"]["DomainUrl"]["Value"] == "https://open.example.org/"
    assert "DomainTarget" in outputs["open"]
    assert "DomainTarget" not in outputs["plain-v1.5"]


def test_a_web_acl_guards_the_domain(prod: Templates) -> None:
    assert only(prod["open"], DISTRIBUTION)["DistributionConfig"]["WebACLId"] == ACL


def test_models_without_a_domain_have_no_distribution(dev: Templates, prod: Templates) -> None:
    for template in (dev["plain-v1.5"], prod["small-models"]):
        template.resource_count_is(DISTRIBUTION, 0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('name = "https://a.example.org"', "[dev.domains.plain-v1.5] key 'name': got 'https://a.example.org'"),
        ('name = "*.example.org"', "[dev.domains.plain-v1.5] key 'name'"),
        (
            'certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b"',
            "expected arn:aws:acm:us-east-1:ACCOUNT:certificate/ID: CloudFront takes certificates of us-east-1 alone",
        ),
        ('hosted_zone_id = "example.org"', "[dev.domains.plain-v1.5] key 'hosted_zone_id'"),
        ('signed_by = "cloudfrnot"', "[dev.domains.plain-v1.5] key 'signed_by': got 'cloudfrnot', input should be"),
        ('signed_by = "cloudfrnot"', "did you mean 'cloudfront'?"),
        ('web_acl_arn = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/a/b"', "one made for CloudFront"),
        ("hosted_zone = 1", "[dev.domains.plain-v1.5] unknown key 'hosted_zone': did you mean 'hosted_zone_id'? Valid"),
        ("nme = 1", "did you mean 'name'? Valid keys: name, certificate_arn"),
    ],
)
def test_a_domain_that_is_wrong_is_named(tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "stages.toml").write_text(stages_of(table), encoding="utf-8")
    with pytest.raises(CatalogueError) as caught:
        read_stage(tmp_path / "stages.toml", "dev")
    assert said in str(caught.value)


def test_two_models_do_not_share_a_name(tmp_path: Path) -> None:
    second = stages_of("", owner="open").removeprefix("[dev]")
    (tmp_path / "stages.toml").write_text(stages_of("") + second, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"\[dev\] domains.*a\.example\.org is the name of two models"):
        read_stage(tmp_path / "stages.toml", "dev")


def test_the_certificate_is_in_the_stages_account(tmp_path: Path) -> None:
    (tmp_path / "stages.toml").write_text(stages_of("", stage='account = "210987654321"'), encoding="utf-8")
    with pytest.raises(CatalogueError, match="a certificate of account 123456789012, expected one of the stage's, 21"):
        read_stage(tmp_path / "stages.toml", "dev")


def test_a_domain_of_no_model_is_refused(tmp_path: Path) -> None:
    write_project(tmp_path, CLOSED, stages_of("", owner="close"))
    with pytest.raises(CatalogueError, match=r"\[dev\.domains\.close\]: no model or group of that name"):
        compose(app_of(tmp_path, "dev"))


@pytest.mark.parametrize(
    ("deploy", "table", "said"),
    [
        ('triggers = ["queue"]', "", 'domains.named names a URL, and triggers have no "https"'),
        ('auth = "none"', 'signed_by = "cloudfront"', 'auth = "none" asks for no signature'),
    ],
)
def test_a_domain_that_a_model_cannot_have_is_that_models_error(
    tmp_path: Path, deploy: str, table: str, said: str
) -> None:
    catalogue = f"{CLOSED}{CLOSED.replace('closed', 'named')}[named.deploy]\n{deploy}\n"
    write_project(tmp_path, catalogue, stages_of(table, owner="named"))
    stacks = {stack.node.id: stack for stack in compose(app_of(tmp_path, "dev"))}
    assert Annotations.from_stack(stacks["named"]).find_error("*", Match.string_like_regexp(said))
    assert Template.from_stack(stacks["named"]).to_json()["Resources"].keys() == {"NotDeployable"}
    assert not Annotations.from_stack(stacks["closed"]).find_error("*", Match.any_value())
