import { useState } from "preact/hooks";
import { call, part, signIn } from "../api";
import { date, number } from "../format";
import { usePoll } from "../store";
import { Action, Button, Curl, Empty, Input, PageHead, Panel, Stale, Waiting, copy, say } from "../ui";
import { allowed, quotas, TokenDialog, type Token } from "./token";

const request = { path: "/tokens" };

export function TokensPage() {
  const [creating, setCreating] = useState(false);
  const [changing, setChanging] = useState<Token>();
  const [deleting, setDeleting] = useState<string>();
  const [rotating, setRotating] = useState<string>();
  const [made, setMade] = useState<{ name: string; token: string }>();
  const { data, error, reload } = usePoll((s) => call<{ tokens: Token[] }>(request, s), 10_000, []);
  return (
    <>
      <PageHead title="Tokens" sub="Who may do what">
        {data && (
          <Button kind="primary" onClick={() => setCreating(true)}>
            Create token
          </Button>
        )}
      </PageHead>
      {made && (
        <div class="notice ok" role="status">
          <div>
            <p>The token of {made.name}. It is shown this once: whoever has it may do what it allows.</p>
            <p class="mono secret">{made.token}</p>
          </div>
          <Button onClick={() => copy(made.token)}>Copy</Button>
          <Button onClick={() => setMade(undefined)}>Done</Button>
        </div>
      )}
      {!data ? (
        <Waiting error={error} again={reload} />
      ) : (
        <>
          <Stale error={error} />
          {data.tokens.length === 0 ? (
            <Empty title="There are no tokens besides the first" />
          ) : (
            <Panel flush>
              <div class="scroll">
                <table>
                  <thead>
                    <tr>
                      <th>Name</th>
                      <th>Allows</th>
                      <th class="wide-only">Quotas</th>
                      <th class="wide-only">Expires</th>
                      <th />
                    </tr>
                  </thead>
                  <tbody>
                    {data.tokens.map((t) => (
                      <tr key={t.name}>
                        <td class="mono">{t.name}</td>
                        <td>{t.allow.map(allowed).join("; ")}</td>
                        <td class="wide-only">
                          {quotas
                            .filter(([q]) => t.quota?.[q])
                            .map(([q, label]) => `${label.toLowerCase()}: ${number(t.quota![q])}`)
                            .join("; ") || "none"}
                        </td>
                        <td class="wide-only">
                          {t.expires_at ? date(t.expires_at) : "never"}
                          {t.previous_until && Date.parse(t.previous_until) > Date.now() && `; the secret before ${date(t.previous_until)}`}
                        </td>
                        <td class="right">
                          <Button kind="plain" label={`Change token ${t.name}`} onClick={() => setChanging(t)}>
                            Change
                          </Button>
                          <Button kind="plain" label={`Rotate token ${t.name}`} onClick={() => setRotating(t.name)}>
                            Rotate
                          </Button>
                          <Button kind="plain" label={`Delete token ${t.name}`} onClick={() => setDeleting(t.name)}>
                            Delete
                          </Button>
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </Panel>
          )}
          <Curl request={request} />
        </>
      )}
      {creating && (
        <TokenDialog<{ name: string; token: string }>
          close={() => setCreating(false)}
          done={(t) => {
            setCreating(false);
            setMade(t);
            reload();
          }}
        />
      )}
      {changing && (
        <TokenDialog
          token={changing}
          close={() => setChanging(undefined)}
          done={() => {
            setChanging(undefined);
            reload();
          }}
        />
      )}
      {rotating !== undefined && (
        <Action<{ name: string; token: string }>
          title={`Rotate token ${rotating}`}
          verb="Rotate"
          close={() => setRotating(undefined)}
          request={{ method: "POST", path: `/tokens/${part(rotating)}/rotate`, body: {} }}
          done={(t) => {
            setRotating(undefined);
            setMade(t);
            reload();
          }}
        >
          <p>It gets another secret. The one that it has is valid for a day longer.</p>
        </Action>
      )}
      {deleting !== undefined && (
        <Action
          title={`Delete token ${deleting}`}
          verb="Delete"
          danger
          confirm={deleting}
          close={() => setDeleting(undefined)}
          request={{ method: "DELETE", path: `/tokens/${part(deleting)}` }}
          done={() => {
            say(`Token ${deleting} deleted`);
            setDeleting(undefined);
            reload();
          }}
        >
          <p>Whoever uses it is refused from now on.</p>
        </Action>
      )}
    </>
  );
}

/** Asks for a token before anything else can be shown. */
export function SignIn() {
  const [value, setValue] = useState("");
  const [wrong, setWrong] = useState<string>();
  const submit = async (e: Event) => {
    e.preventDefault();
    const response = await fetch("../overview", { headers: { Authorization: "Bearer " + value.trim() }, cache: "no-store" }).catch(() => undefined);
    if (!response) setWrong("The server does not answer.");
    else if (response.status === 401) setWrong("The server does not know this token.");
    else signIn(value.trim());
  };
  return (
    <form class="sign-in" onSubmit={submit}>
      <h1>Sign in</h1>
      <p>This server wants a token. It is kept for this tab only, and forgotten when you close it.</p>
      <Input label="Token" type="password" value={value} set={(v) => (setValue(v), setWrong(undefined))} error={wrong} mono focus />
      <Button type="submit" kind="primary" disabled={!value.trim()}>
        Sign in
      </Button>
    </form>
  );
}
