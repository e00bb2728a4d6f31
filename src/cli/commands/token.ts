import { type CommandDescription, EXIT_OK } from '../command.js'

/** `castellan token` makes a bearer token and its hash. The configuration contains the hash. */
export const tokenCommand: CommandDescription = {
  name: 'token',
  summary: 'makes a bearer token and its hash',
  options: [],
  notes:
    'The token is for the client and is shown only once; the hash is for auth.tokens. A principal may have two valid\ntokens, so that tokens can be rotated.',
  examples: ['castellan token'],
  run: async (_, { stdout }) => {
    const { makeToken } = await import('../../http/access/stored-credentials.js')
    const { token, sha256 } = makeToken()
    stdout.write(`token   ${token}\nsha256  ${sha256}\n`)
    return EXIT_OK
  }
}
