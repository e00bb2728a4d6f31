import { existsSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { CommandError } from '../../src/cli/command.js'
import { claimSocketPath } from '../../src/cli/run-gateway.js'

describe('claimSocketPath', () => {
  let directory: string
  let path: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-socket-'))
    path = join(directory, 'socket')
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  const listen = (): Promise<Server> =>
    new Promise(resolve => {
      const server = createServer(socket => socket.destroy()).listen(path, () => resolve(server))
    })
  const problem = (): Promise<unknown> =>
    claimSocketPath(path).then(
      () => undefined,
      (error: unknown) => error
    )

  it('does nothing when nothing is there', async () => {
    expect(await problem()).to.equal(undefined)
  })

  it('leaves a socket alone on which a process listens', async () => {
    const server = await listen()
    expect(await problem()).to.be.instanceOf(CommandError)
    expect(existsSync(path)).to.equal(true)
    await new Promise(resolve => server.close(resolve))
  })

  it('refuses a path that would be cut off', async () => {
    path = join(directory, 'x'.repeat(108))
    expect(String(await problem())).to.contain('choose another one with --unix-socket')
  })

  it('says that the directory is missing, which Node tells as a missing permission', async () => {
    path = join(directory, 'none', 'socket')
    const error = await problem()
    expect(error).to.be.instanceOf(CommandError)
    expect((error as Error).message).to.equal(
      `the directory of ${path} does not exist; create it, or choose another path with --unix-socket (http.unixSocket)`
    )
  })

  it('says of a path that cannot be looked at what to change', async () => {
    symlinkSync('round', join(directory, 'round'))
    path = join(directory, 'round', 'socket')
    const error = await problem()
    expect(error).to.be.instanceOf(CommandError)
    expect((error as Error).message).to.equal(
      `cannot look at ${path} (ELOOP); let this process use its directory, or choose another path with --unix-socket (http.unixSocket)`
    )
  })

  it('leaves anything alone that is no socket', async () => {
    writeFileSync(path, 'precious')
    const error = await problem()
    expect(error).to.be.instanceOf(CommandError)
    expect(existsSync(path)).to.equal(true)
  })

  it('removes what a process left behind that was killed', async () => {
    // Bound by another name and moved: closing the server does not find the file any more, as if it had been killed.
    const server = await listen()
    renameSync(path, `${path}.left`)
    await new Promise(resolve => server.close(resolve))
    path = `${path}.left`
    expect(existsSync(path)).to.equal(true)
    expect(await problem()).to.equal(undefined)
    expect(existsSync(path)).to.equal(false)
  })
})
