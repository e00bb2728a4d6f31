import { flag, int, matching } from '../topics/topic-config.js'

/** The settings of a share group: default and check, with the bounds that Kafka's brokers have by default. */
const SETTINGS: ReadonlyMap<string, readonly [byDefault: string, check: ReturnType<typeof int>]> = new Map([
  [
    'share.auto.offset.reset',
    [
      'latest',
      matching(
        /^(latest|earliest|by_duration:P(?!$)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?)$/i,
        'must be latest, earliest or by_duration with an ISO 8601 duration'
      )
    ]
  ],
  ['share.delivery.count.limit', ['5', int(2n, 10n)]],
  ['share.heartbeat.interval.ms', ['5000', int(5_000n, 15_000n)]],
  ['share.isolation.level', ['read_uncommitted', matching(/^read_(un)?committed$/, 'unknown isolation level')]],
  ['share.partition.max.record.locks', ['2000', int(100n, 4_000n)]],
  ['share.record.lock.duration.ms', ['30000', int(15_000n, 60_000n)]],
  ['share.renew.acknowledge.enable', ['true', flag]],
  ['share.session.timeout.ms', ['45000', int(45_000n, 60_000n)]]
])

export const shareSettingNames: readonly string[] = [...SETTINGS.keys()]

/** The reason to refuse a setting of a group, if any. */
export function shareSettingProblem(name: string, value: string | null): string | undefined {
  const setting = SETTINGS.get(name)
  if (!setting) return `Unknown group config name: ${name}`
  if (value === null) return `Null value not supported for group configs: ${name}`
  const problem = setting[1](value)
  return problem === undefined ? undefined : `Invalid value ${value} for configuration ${name}: ${problem}`
}

/** The settings of one share group. Those that were not set have their defaults. */
export class ShareSettings {
  readonly given: ReadonlyMap<string, string>
  readonly lockMs: number
  readonly deliveryLimit: number
  readonly maxRecordLocks: number
  readonly isReadCommitted: boolean
  readonly canRenew: boolean
  readonly heartbeatIntervalMs: number
  readonly sessionTimeoutMs: number

  constructor(given: ReadonlyMap<string, string> = new Map()) {
    this.given = given
    this.lockMs = Number(this.get('share.record.lock.duration.ms'))
    this.deliveryLimit = Number(this.get('share.delivery.count.limit'))
    this.maxRecordLocks = Number(this.get('share.partition.max.record.locks'))
    this.isReadCommitted = this.get('share.isolation.level') === 'read_committed'
    this.canRenew = this.get('share.renew.acknowledge.enable').trim().toLowerCase() === 'true'
    this.heartbeatIntervalMs = Number(this.get('share.heartbeat.interval.ms'))
    this.sessionTimeoutMs = Number(this.get('share.session.timeout.ms'))
  }

  get(name: string): string {
    return this.given.get(name) ?? SETTINGS.get(name)![0]
  }

  /** `latest`, `earliest`, or how many milliseconds before now the group begins. */
  get start(): 'latest' | 'earliest' | number {
    const start = this.get('share.auto.offset.reset').toLowerCase()
    if (start === 'latest' || start === 'earliest') return start
    const [, ...parts] = /:p(?:(\d+)d)?t?(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?/.exec(start) ?? []
    const [days = 0, hours = 0, minutes = 0, seconds = 0] = parts.map(part => Number(part ?? 0))
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000
  }
}

export const defaultShareSettings = new ShareSettings()
