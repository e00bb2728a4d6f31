import { spawnSync } from 'node:child_process'
import { expect } from 'chai'

/** Each file of docs/deploy, and the tool that reads it. The chart and others that take minutes to build: kit.explore.test.ts. */
const CHECKS: Readonly<Record<string, readonly string[]>> = {
  'castellan.service, verified': ['systemd-analyze', 'verify', '--man=no', 'docs/deploy/castellan.service'],
  'castellan.service, hardened': [
    'systemd-analyze',
    'security',
    '--offline=true',
    '--threshold=20',
    'docs/deploy/castellan.service'
  ],
  'castellan@.conf, with the unit': [
    'sh',
    '-c',
    `folder=$(mktemp -d) && cd docs/deploy && cp castellan.service $folder/castellan@.service &&
      install -D castellan@.conf $folder/castellan@.service.d/instance.conf &&
      systemd-analyze verify --man=no $folder/castellan@1.service; code=$?; rm -r $folder; exit $code`
  ],
  'castellan.socket and inherited.conf, with the template': [
    'sh',
    '-c',
    `folder=$(mktemp -d) && cd docs/deploy && cp castellan.service $folder/castellan@.service &&
      cp several-cores/castellan.socket $folder &&
      install -m 644 -D castellan@.conf $folder/castellan@.service.d/instance.conf &&
      install -m 644 several-cores/inherited.conf $folder/castellan@.service.d/socket.conf &&
      systemd-analyze verify --man=no $folder/castellan@1.service $folder/castellan.socket; code=$?; rm -r $folder; exit $code`
  ],
  'several-cores/haproxy.cfg': ['haproxy', '-c', '-f', 'docs/deploy/several-cores/haproxy.cfg'],
  'several-cores/restart.sh': ['sh', '-n', 'docs/deploy/several-cores/restart.sh'],
  'prometheus.yaml': ['promtool', 'check', 'config', 'docs/deploy/prometheus.yaml'],
  'haproxy.cfg': ['haproxy', '-c', '-f', 'docs/deploy/haproxy.cfg'],
  'nginx.conf': ['nginx', '-t', '-e', '/dev/null', '-c', `${process.cwd()}/docs/deploy/nginx.conf`],
  'kubernetes.yaml': ['kubernetes-validate', '--strict', 'docs/deploy/kubernetes.yaml']
}

describe('docs/deploy', () => {
  for (const [what, [tool = '', ...args]] of Object.entries(CHECKS)) {
    it(`${what}: ${tool} accepts it without a word of warning`, function () {
      const { status, stdout, stderr, error } = spawnSync(tool, args, { encoding: 'utf8' })
      if (error !== undefined) {
        console.error(`!!! SKIPPED: ${tool} is not installed; ${what} is not checked`)
        return this.skip()
      }
      expect(status, stdout + stderr).to.equal(0)
      expect(stdout + stderr).to.not.match(/warn|deprecated|ignoring|unknown/i)
    })
  }
})
