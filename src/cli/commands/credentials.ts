import { type CommandDescription, EXIT_OK, type Process, UsageError } from '../command.js'

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

/** `castellan password` makes the hash of a password. The configuration contains the hash, not the password. */
export const passwordCommand: CommandDescription = {
  name: 'password',
  summary: 'makes a hash of the password on stdin',
  options: [],
  notes: 'Reads one line. The hash is for auth.users. A password on the command line could be read by other users.',
  examples: ['castellan password < password.txt'],
  run: async (_, { stdin, stdout }) => {
    const { hashPassword } = await import('../../http/access/stored-credentials.js')
    const password = await firstLine(stdin)
    if (password === '') throw new UsageError('the password is empty; it is read from stdin')
    stdout.write(`${await hashPassword(password)}\n`)
    return EXIT_OK
  }
}

async function firstLine(stdin: Process['stdin']): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stdin) {
    chunks.push(Buffer.from(chunk))
    if (chunk.includes('\n')) break
  }
  return Buffer.concat(chunks).toString('utf8').split(/\r?\n/)[0]!
}
