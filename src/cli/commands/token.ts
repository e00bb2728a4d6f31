import { type CommandDescription, EXIT_OK } from '../command.js'

/** `castellan token`: makes a bearer token, and the hash that the configuration holds. */
export const tokenCommand: CommandDescription = {
  name: 'token',
  summary: 'makes a bearer token and its hash',
  options: [],
  notes:
    'The token is for the client and is shown this once; the hash is for auth.tokens. Two tokens of one principal are\nboth valid, so that they can be rotated.',
  examples: ['castellan token'],
  run: async (_, { stdout }) => {
    const { makeToken } = await import('../../http/access/bearer-tokens.js')
    const { token, sha256 } = makeToken()
    stdout.write(`token   ${token}\nsha256  ${sha256}\n`)
    return EXIT_OK
  }
}
