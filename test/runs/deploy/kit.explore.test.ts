import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { parseAllDocuments } from 'yaml'
import { loadConfig } from '../../../src/index.js'
import { testCertificate } from '../../support/test-certificate.js'

/** Tools that Go builds, in some minutes the first time. */
const TOOLS: Readonly<Record<string, string>> = {
  helm: 'helm.sh/helm/v3/cmd/helm@v3.22.0',
  actionlint: 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12',
  cmd: 'github.com/compose-spec/compose-go/v2/cmd@v2.16.2'
}
const BIN = resolve('.cache/go/bin')

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
  readonly spec?: unknown
}

interface PodSpec {
  readonly containers?: readonly {
    readonly args: readonly string[]
    readonly env: readonly object[]
    readonly volumeMounts: readonly { readonly name: string }[]
  }[]
  readonly volumes?: readonly object[]
}

interface Workload {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>
    readonly annotations: Readonly<Record<string, string>>
  }
  readonly spec: PodSpec & { readonly template?: { readonly metadata: Workload['metadata']; readonly spec: PodSpec } }
}

function run(tool: string, args: readonly string[], env: Record<string, string> = {}): string {
  const { status, stdout, stderr } = spawnSync(join(BIN, tool), args, {
    encoding: 'utf8',
    env: { ...process.env, ...env }
  })
  expect(status, stdout + stderr).to.equal(0)
  return stdout
}

const template = (...flags: readonly string[]): string =>
  run('helm', ['template', 'castellan', 'docs/deploy/chart', ...flags])

const rendered = (...settings: readonly string[]): string =>
  template('--skip-tests', ...settings.flatMap(setting => ['--set', setting]))

const manifestsOf = (yaml: string): Manifest[] => parseAllDocuments(yaml).map(one => one.toJS() as Manifest)

describe('docs/deploy, by tools that Go builds', function () {
  this.timeout(1_200_000)
  const folder = mkdtempSync(join(tmpdir(), 'castellan-kit-'))

  before(function () {
    if (spawnSync('go', ['version']).error !== undefined) {
      console.error('!!! SKIPPED: Go is not installed; chart, compose file and workflows are not checked')
      return this.skip()
    }
    for (const [tool, module] of Object.entries(TOOLS)) {
      if (existsSync(join(BIN, tool))) continue
      execFileSync('go', ['install', module], { env: { ...process.env, GOBIN: BIN }, stdio: 'pipe' })
    }
  })
  after(() => rmSync(folder, { recursive: true }))

  it('the chart passes helm lint', () => {
    run('helm', ['lint', '--strict', '--quiet', 'docs/deploy/chart'])
  })

  it('kubernetes.yaml is what the chart makes of its default values', () => {
    const file = readFileSync('docs/deploy/kubernetes.yaml', 'utf8')
    expect(file.split('\n').slice(1).join('\n')).to.equal(rendered())
  })

  const variants: Readonly<Record<string, readonly string[]>> = {
    'of its default values': [],
    'without a route on disk': ['config.apis.arion.durability=memory'],
    'without any API on disk': ['config.apis.arion.enabled=false'],
    'with another route on disk': ['config.apis.arion.enabled=false', 'config.apis.kprf.durability=disk'],
    'with everything': [
      'serviceMonitor.enabled=true',
      'serviceMonitor.labels.release=prometheus',
      'config.apis.kprf.port=4242',
      'config.shutdown.graceMs=30000',
      'config.wal.maxBytes=107374182400',
      'files={castellan-tls}',
      'config.http.tls.certFile=/files/castellan-tls/tls.crt',
      'config.http.tls.keyFile=/files/castellan-tls/tls.key',
      'secrets.CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD.name=kafka',
      'secrets.CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD.key=password',
      'storage.className=fast',
      'nodeSelector.disk=ssd',
      'tolerations[0].operator=Exists',
      'podAnnotations.a=b',
      'replicas=3'
    ],
    'of one gateway': ['replicas=1', 'peersToken=', 'networkPolicy.enabled=false']
  }
  for (const [name, settings] of Object.entries(variants)) {
    it(`the manifests ${name} are valid, with settings that a gateway starts with`, function () {
      const yaml = rendered(...settings)
      const manifests = manifestsOf(yaml)
      const stateful = !/without/.test(name)
      expect(manifests.filter(({ kind }) => kind === (stateful ? 'StatefulSet' : 'Deployment'))).to.have.length(1)
      const file = join(folder, 'castellan.yaml')
      writeFileSync(file, manifests.find(({ kind }) => kind === 'ConfigMap')!.data!['castellan.yaml']!)
      const config = loadConfig({ file, environment: { CASTELLAN_PEERS_TOKEN: 'x'.repeat(32) } })
      expect(config.management.host).to.equal('0.0.0.0')
      const workload = JSON.stringify(manifests.find(({ kind }) => /Set|Deployment/.test(kind)))
      const [, seconds] = /"terminationGracePeriodSeconds":(\d+)/.exec(workload) ?? []
      expect(Number(seconds) * 1_000).to.be.above(config.shutdown.graceMs)
      if (name === 'with everything') expect(config.wal.maxBytes).to.equal(107_374_182_400)
      // The operator's own kind is not among those of Kubernetes.
      const known = join(folder, 'manifests.yaml')
      writeFileSync(
        known,
        yaml
          .split('---\n')
          .filter(text => !text.includes('kind: ServiceMonitor'))
          .join('---\n')
      )
      const { status, stdout, stderr, error } = spawnSync('kubernetes-validate', ['--strict', known], {
        encoding: 'utf8'
      })
      if (error !== undefined) return this.skip()
      expect(status, stdout + stderr).to.equal(0)
    })
  }

  it('values-stateless.yaml makes a Deployment without volumes', () => {
    const kinds = manifestsOf(template('-f', 'docs/deploy/chart/values-stateless.yaml')).map(({ kind }) => kind)
    expect(kinds).to.include('Deployment')
    expect(kinds).to.not.include('StatefulSet')
  })

  it('the values for a KafkaBridge of Strimzi make a Deployment with an image, rights, and a port without the prefix', () => {
    const page = readFileSync('docs/compatibility/strimzi.md', 'utf8').split("### From the operator's KafkaBridge")[1]!
    const [, values, commands] = /```yaml\n(.*?)```.*?```text\n(.*?)```/s.exec(page)!
    const file = join(folder, 'values.yaml')
    writeFileSync(file, values!)
    run('helm', ['lint', '--strict', '--quiet', 'docs/deploy/chart', '-f', file])
    const yaml = template('-f', file)
    const manifests = manifestsOf(yaml)
    expect(manifests.map(({ kind }) => kind))
      .to.include('Deployment')
      .and.not.include('StatefulSet')
    const [, built] = /-t (\S+)/.exec(commands!)!
    expect(yaml.match(/image: (\S+)/g)).to.deep.equal(Array(2).fill(`image: ${built}`))
    const config = join(folder, 'bridge.yaml')
    const text = manifests.find(({ kind }) => kind === 'ConfigMap')!.data!['castellan.yaml']!
    const caFile = join(folder, 'ca.crt')
    writeFileSync(caFile, testCertificate)
    writeFileSync(config, text.replace('/files/main-cluster-ca-cert/ca.crt', caFile))
    const { apis, clusters } = loadConfig({
      file: config,
      environment: { CASTELLAN_PEERS_TOKEN: 'x'.repeat(32), CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD: 'secret' }
    })
    expect([apis.arion.enabled, apis.strimzi.port]).to.deep.equal([false, 8082])
    expect(clusters.default!.sasl).to.include({ mechanism: 'scram-sha-512', username: 'bridge' })
    const service = manifests.find(({ kind, metadata }) => kind === 'Service' && metadata.name === 'castellan')!
    expect((service.spec as { ports: object[] }).ports).to.deep.include({
      ...{ name: 'strimzi', port: 8082, targetPort: 'strimzi' }
    })
  })

  it('helm test runs the doctor with what the gateways read, in a pod to which no service sends requests', () => {
    const manifests = manifestsOf(template('--set', 'doctor={--topic,orders}', '--set', 'files={castellan-tls}'))
    const podsOf = (kind: string) => manifests.filter(one => one.kind === kind) as unknown as Workload[]
    const [doctor] = podsOf('Pod')
    const [workload] = podsOf('StatefulSet')
    const [ofDoctor] = doctor!.spec.containers!
    const { spec, metadata } = workload!.spec.template!
    const [ofGateway] = spec.containers!
    expect(ofDoctor!.args.slice(0, 3)).to.deep.equal(['doctor', '--config', ofGateway!.args[2]])
    expect(ofDoctor!.args.slice(3)).to.deep.equal(['--topic', 'orders'])
    expect(ofDoctor!.env).to.deep.equal(ofGateway!.env)
    expect(ofDoctor!.volumeMounts).to.deep.equal(ofGateway!.volumeMounts.filter(({ name }) => name !== 'log'))
    expect(doctor!.spec.volumes).to.deep.equal(spec.volumes)
    expect(doctor!.metadata.labels).to.not.include(metadata.labels)
    expect(doctor!.metadata.annotations).to.include({ 'helm.sh/hook': 'test' })
    expect(spec).to.not.have.property('initContainers')
  })

  it('the compose file is one of the specification', () => {
    run('cmd', ['docs/deploy/compose.yaml'])
  })

  it('the workflows pass actionlint', () => {
    run('actionlint', [])
  })
})
