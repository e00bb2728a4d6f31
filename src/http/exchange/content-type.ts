// Token characters of a media type; a suffix begins at the last plus sign, so it holds none.
const T = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
const SUFFIX = `\\+${T.replace('+', '')}*`
// The character after an opening quote is never the closing one: `a=""` is refused.
const QUOTED = '"[ -~][ !#-~]*" *'
const JSON_TYPE = new RegExp(
  `^application/json(?:${SUFFIX})?(?:;(?: *${T}+=(?:${T}+|${QUOTED});)*(?: *| *${T}+=(?:${T}*|${QUOTED})))?$`,
  'i'
)

/**
 * Whether a body of this type counts as JSON: none is fine, else it must parse and be `application/json`. A suffix as in
 * `application/json+x` and any parameters are fine, `application/x+json` is not, nor is an empty header.
 *
 * This is the rule of kprf and its web framework. Source: warp 0.3.1 src/filters/body.rs (is_content_type), mime 0.3.16 src/parse.rs.
 */
export const isJsonContentType = (header: string | undefined): boolean =>
  header === undefined || header === 'application/json' || JSON_TYPE.test(header)
