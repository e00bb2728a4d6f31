import { environmentName } from '../core/settings/setting-names.js'
import type { FlagSetting } from '../server/config/config.js'
import { describeSettings } from '../server/config/schema.js'

/** Returns one warning for each secret on the command line. Other users of the machine can read command lines. */
export function warningsAboutSecrets(flags: readonly FlagSetting[]): string[] {
  const secrets = describeSettings().leaves.filter(({ isSecret }) => isSecret)
  const isSecret = ({ path }: FlagSetting): boolean =>
    secrets.some(
      leaf => leaf.path.length === path.length && leaf.path.every((part, at) => part === '*' || part === path[at])
    )
  return flags.filter(isSecret).map(({ path }) => {
    const variable = environmentName(path)
    return `${path.join('.')} is a secret: on the command line every user of this machine can read it in the list of processes; use ${variable}_FILE, ${variable}, or the file of --config`
  })
}
