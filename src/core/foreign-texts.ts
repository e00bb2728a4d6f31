/**
 * Texts of other packages that decide something or are rewritten, because the package has no code or class that tells
 * the same. A test has each package say each of them, so that an upgrade that rewords one is noticed. Our own errors and
 * warnings have fields instead.
 */
export const foreignTexts = {
  '@bokuweb/zstd-wasm': {
    /** ZSTD_error_dstSize_tooSmall */
    tooSmall: /-70$/
  },
  '@bufbuild/protobuf': {
    /** Stands before what is wrong with a field. */
    beginning: /^cannot (de|en)code .*? JSON: /
  },
  commander: {
    emptyOption: /^error: option '[^']*?(--[\w-]+) [^']*' argument '' is invalid\..*$/s,
    wrongOption:
      /^error: option '[^']*?(--[\w-]+)[^']*' argument '(.*)' is invalid\. (?:Allowed choices are )?(.*?)\.?$/s,
    optionWithoutValue: /^error: option '[^']*?(--[\w-]+) <([^']*)>' argument missing$/,
    emptyArgument: /^error: command-argument value '' is invalid for argument '(.*)'\..*$/s,
    wrongArgument:
      /^error: command-argument value '(.*)' is invalid for argument '(.*)'\. (?:Allowed choices are )?(.*?)\.?$/s,
    missingArgument: /^error: missing required argument '(.*)'$/,
    tooManyArguments: /^error: too many arguments.* Expected (\d+) arguments? but got (\d+)\.$/,
    unknownOption: /^error: unknown option '([^=]*?)(?:=.*)?'$/s,
    beginning: /^error: /
  },
  node: {
    /** `fetch` sends nothing to some ports, such as 6000. */
    badPort: /^bad port$/,
    /** Text behind the cause in errors of `access`. */
    call: /, access .*/
  },
  OpenSSL: {
    alert: /alert/i,
    otherKey: /key values mismatch/,
    noPem: /no start line|DECODER routines::unsupported/
  },
  V8: {
    deepStack: /call stack/
  },
  yaml: {
    /** The parser quotes the file from here on. */
    quotation: /\s*[:!%"*(|].*$/s
  }
} as const
