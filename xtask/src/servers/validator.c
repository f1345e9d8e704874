/*
 * A validator of OAuth bearer tokens for tests. The validator authorizes the token "NAME-token" for the user NAME.
 *
 * Every other token is rejected. For the token "broken" the validator itself fails.
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq/oauth.h"

PG_MODULE_MAGIC;

static bool
validate(const ValidatorModuleState *state, const char *token, const char *role, ValidatorModuleResult *result)
{
	static const char suffix[] = "-token";
	size_t		length = strlen(token);
	size_t		tail = strlen(suffix);

	if (strcmp(token, "broken") == 0)
		return false;
	result->authorized = length > tail && strcmp(token + length - tail, suffix) == 0;
	if (result->authorized)
		result->authn_id = pnstrdup(token, length - tail);
	return true;
}

static const OAuthValidatorCallbacks callbacks = {
	.magic = PG_OAUTH_VALIDATOR_MAGIC,
	.validate_cb = validate,
};

const OAuthValidatorCallbacks *
_PG_oauth_validator_module_init(void)
{
	return &callbacks;
}
