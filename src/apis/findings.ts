import { ConfigError } from '../core/errors.js'
import type { Assignment } from '../core/settings/assignment.js'
import type { Translation } from './command.js'

/** Settings, notes and problems as they are found in a foreign configuration. */
export class Findings {
  readonly settings: Assignment[] = []
  readonly notes: string[] = []
  readonly problems: string[] = []
  /** See {@link Translation.needsCertificate}. */
  needsCertificate: string | undefined

  set(setting: string, value: unknown, origin: string): void {
    this.settings.push({ path: setting.split('.'), value, origin })
  }

  drop(setting: string): void {
    const kept = this.settings.filter(({ path }) => path.join('.') !== setting)
    this.settings.splice(0, this.settings.length, ...kept)
  }

  /** @throws ConfigError naming every problem, one per line */
  translation(): Translation {
    if (this.problems.length > 0) throw new ConfigError(this.problems.join('\n'))
    const { settings, notes, needsCertificate } = this
    return { settings, notes, ...(needsCertificate !== undefined && { needsCertificate }) }
  }
}
