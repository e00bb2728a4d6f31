import { makeToken } from '../access/bearer-tokens.js'
import { type Command, EXIT_OK } from './command.js'

/** `castellan token`: a bearer token, and what the configuration keeps of it. */
export const tokenCommand: Command = {
  name: 'token',
  summary: 'makes a bearer token and its hash',
  positionals: [],
  flags: [],
  notes:
    'The token is for the client and is shown this once; the hash is for auth.tokens. Two tokens of one principal are\nboth valid, so that they can be rotated.',
  examples: ['castellan token'],
  run: async (_, { stdout }) => {
    const { token, sha256 } = makeToken()
    stdout.write(`token   ${token}\nsha256  ${sha256}\n`)
    return EXIT_OK
  }
}
