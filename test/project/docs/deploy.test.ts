import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect } from 'chai'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../../../src/index.js'

const linesOf = (name: string): string[] =>
  readFileSync(`docs/deploy/${name}`, 'utf8')
    .split('\n')
    .filter(line => line.trim() !== '' && !line.startsWith('#'))

describe('docs/deploy', () => {
  describe('Dockerfile', () => {
    const instructions = linesOf('Dockerfile').map(line => {
      const [, name, rest] = /^([A-Z]+) (.*)$/.exec(line) ?? []
      return { name, rest: rest ?? '', line }
    })
    const last = (name: string): string => instructions.findLast(one => one.name === name)?.rest ?? ''

    it('has only instructions', () => {
      const known = [
        'FROM',
        'WORKDIR',
        'COPY',
        'RUN',
        'ARG',
        'ENV',
        'VOLUME',
        'USER',
        'EXPOSE',
        'STOPSIGNAL',
        'HEALTHCHECK',
        'ENTRYPOINT',
        'CMD'
      ]
      expect(instructions.filter(({ name }) => name === undefined || !known.includes(name))).to.deep.equal([])
    })

    it('copies what exists and runs scripts that exist', () => {
      const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
      for (const { rest } of instructions.filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from'))) {
        for (const file of rest.split(' ').slice(0, -1)) expect(existsSync(file), file).to.equal(true)
      }
      for (const [, script] of readFileSync('docs/deploy/Dockerfile', 'utf8').matchAll(/npm run (\w+)/g)) {
        expect(scripts).to.have.property(script!)
      }
    })

    it('is not root, is told apart from a dead one, and gets signals itself', () => {
      expect(last('USER')).to.equal('node')
      expect(last('STOPSIGNAL')).to.equal('SIGTERM')
      expect(last('HEALTHCHECK')).to.contain(`:${loadConfig({}).management.port}/health-check`)
      // In the exec form node is process 1; a shell in between would keep the signals.
      expect(JSON.parse(last('ENTRYPOINT'))).to.deep.equal(['node', '--enable-source-maps', 'dist/main.js'])
      expect(JSON.parse(last('CMD'))).to.deep.equal(['serve'])
      expect(JSON.parse(/CMD (\[.*\])$/.exec(last('HEALTHCHECK'))![1]!)).to.have.length(3)
    })
  })

  describe('the durable log', () => {
    const directory = loadConfig({}).wal.directory

    it('has a directory in the container that its user can write to, and that survives the container', () => {
      const text = readFileSync('docs/deploy/Dockerfile', 'utf8')
      const [top] = directory.split('/')
      const last = text.slice(text.lastIndexOf('FROM '))
      const [, workingDirectory] = /^WORKDIR (\S+)/m.exec(last) ?? []
      expect(last).to.match(new RegExp(`^RUN mkdir -p ${top} /var/arion && chown node:node ${top} /var/arion$`, 'm'))
      expect(last.indexOf('chown')).to.be.lessThan(last.indexOf('USER node'))
      expect(last).to.match(new RegExp(`^VOLUME ${workingDirectory}/${top}$`, 'm'))
    })

    it('has a directory under systemd where the unit can write, whatever else is read-only', () => {
      expect(directory).to.not.match(/^\//)
      const lines = linesOf('castellan.service')
      expect(lines).to.include.members([
        'ProtectSystem=strict',
        'StateDirectory=castellan',
        'WorkingDirectory=%S/castellan'
      ])
    })
  })

  it('the container has every file that the built program reads at run time', () => {
    const copied = linesOf('Dockerfile').flatMap(line => /^COPY --from=build \/castellan\/(\S+)/.exec(line)?.[1] ?? [])
    const { files } = JSON.parse(readFileSync('package.json', 'utf8')) as { files: string[] }
    // What the package brings besides text for people.
    const needed = files.filter(name => !/^!|^docs$|^examples|\.md$|^LICENSE$/.test(name))
    expect(copied).to.include.members([...needed, 'package.json', 'node_modules'])
  })

  describe('castellan.service', () => {
    const settings = linesOf('castellan.service').filter(line => !line.startsWith('['))
    const settingOf = (name: string): string =>
      settings.find(line => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? ''

    it('has sections of assignments', () => {
      expect(linesOf('castellan.service').filter(line => line.startsWith('['))).to.deep.equal([
        '[Unit]',
        '[Service]',
        '[Install]'
      ])
      expect(settings.filter(line => !/^[A-Z]\w+=/.test(line))).to.deep.equal([])
    })

    it('gives a stop the time it may take, and starts again what has failed', () => {
      expect(Number(settingOf('TimeoutStopSec')) * 1_000).to.be.greaterThan(loadConfig({}).shutdown.graceMs)
      expect(settingOf('Restart')).to.equal('on-failure')
      expect(settingOf('RestartPreventExitStatus')).to.equal('2')
      expect(settingOf('ExecStart')).to.match(/dist\/main\.js serve --config /)
    })

    it('names settings that exist', () => {
      const names = settings.flatMap(line => /^Environment=(CASTELLAN_\w+)=/.exec(line)?.[1] ?? [])
      expect(names).to.not.be.empty
      for (const name of names) {
        expect(() => loadConfig({ environment: { [name]: '/missing' } })).to.throw('the file it names cannot be read')
      }
    })
  })

  it('castellan@.conf gives each gateway of a machine its own ports and its own folder', () => {
    const text = readFileSync('docs/deploy/castellan@.conf', 'utf8').replaceAll('%i', '2')
    const [, variables] = /^Environment=(.*PORT.*)$/m.exec(text)!
    const environment = Object.fromEntries(variables!.split(' ').map(pair => pair.split('=') as [string, string]))
    const { http, management, peers } = loadConfig({ environment })
    expect([http.port, management.port, peers.listen]).to.deep.equal([8020, 8021, '0.0.0.0:8022'])
    expect(text).to.match(
      /^StateDirectory=\nStateDirectory=castellan\/2\nWorkingDirectory=\nWorkingDirectory=%S\/castellan\/2$/m
    )
  })

  it('and the pages name one version, that of the package', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    const files = readdirSync('docs', { recursive: true, encoding: 'utf8' }).map(name => `docs/${name}`)
    const named = ['README.md', ...files]
      .filter(file => /\.(?:md|ya?ml)$/.test(file) && !/changelog|upgrading|^docs\/site\//.test(file))
      .flatMap(file =>
        [...readFileSync(file, 'utf8').matchAll(/(?:castellan[-:]|"version": "|ersion: )(\d+\.\d+\.\d+[-\w]*)/g)].map(
          ([, name]) => `${file} ${name}`
        )
      )
    expect(named).to.include.members(
      [
        ...['README.md', 'docs/library.md', 'docs/operations.md', 'docs/start/node.md', 'docs/start/shell.md'],
        ...['chart/Chart.yaml', 'README.md', 'compose.yaml', 'kubernetes.yaml'].map(name => `docs/deploy/${name}`)
      ].map(file => `${file} ${version}`)
    )
    expect(named.filter(name => !name.endsWith(` ${version}`))).to.deep.equal([])
  })

  it('the compose file names settings that exist', () => {
    const text = readFileSync('docs/deploy/compose.yaml', 'utf8')
    const file = parse(text, { merge: true }) as {
      services: Record<string, { environment: Record<string, string>; stop_grace_period: string }>
    }
    const { environment, stop_grace_period } = file.services.one!
    const { CASTELLAN_PEERS_TOKEN_FILE: secret, ...others } = environment
    expect(secret).to.equal('/run/secrets/peers')
    const config = loadConfig({ environment: { ...others, CASTELLAN_PEERS_TOKEN: 'x'.repeat(32) } })
    expect(config.management.host).to.equal('0.0.0.0')
    expect(Number.parseInt(stop_grace_period, 10) * 1_000).to.be.above(config.shutdown.graceMs)
  })

  it('the Kafka of the compose file has share groups, whose state fits on its one node', () => {
    const file = parse(readFileSync('docs/deploy/compose.yaml', 'utf8'), { merge: true }) as {
      services: { kafka: { image: string; environment: Record<string, unknown> } }
    }
    const { image, environment } = file.services.kafka
    expect(image).to.equal('apache/kafka:4.4.0')
    const ofOneNode = Object.entries(environment).filter(([name]) => /REPLICATION_FACTOR$|MIN_ISR$/.test(name))
    for (const [name, value] of ofOneNode) expect(value, name).to.equal(1)
    expect(ofOneNode.map(([name]) => name)).to.include.members([
      'KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR',
      'KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR'
    ])
  })

  describe('kubernetes.yaml', () => {
    interface Probe {
      readonly httpGet: { readonly path: string; readonly port: string }
      readonly periodSeconds: number
      readonly timeoutSeconds: number
      readonly failureThreshold: number
    }
    interface Workload {
      readonly kind: string
      readonly spec: {
        readonly template: {
          readonly spec: {
            readonly enableServiceLinks: boolean
            readonly containers: readonly {
              readonly args: readonly string[]
              readonly startupProbe: Probe
              readonly livenessProbe: Probe
              readonly readinessProbe: Probe
            }[]
          }
        }
      }
    }
    const manifests = parseAllDocuments(readFileSync('docs/deploy/kubernetes.yaml', 'utf8')).map(it => it.toJS())
    const workload = manifests.find(({ kind }) => kind === 'StatefulSet') as Workload
    const { containers, enableServiceLinks } = workload.spec.template.spec
    const { startupProbe, livenessProbe, readinessProbe } = containers[0]!

    it('asks /health-check whether the process lives, and /ready whether it serves', () => {
      expect([startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet)).to.deep.equal([
        { path: '/health-check', port: 'management' },
        { path: '/health-check', port: 'management' },
        { path: '/ready', port: 'management' }
      ])
    })

    it('takes a pod out of the service within the time for which a gateway that stops still serves', () => {
      const { periodSeconds, failureThreshold } = readinessProbe
      expect(periodSeconds * failureThreshold * 1_000).to.be.below(loadConfig({}).shutdown.graceMs / 2)
    })

    it('sets no variables of services, which would be unknown settings', () => {
      expect(enableServiceLinks).to.equal(false)
    })
  })
})
