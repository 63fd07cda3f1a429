// The console: a page over the broker's public API.

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { call, signOut, token, unauthorized } from "./api";
import { BrokersPage } from "./pages/brokers";
import { GroupPage } from "./pages/group";
import { GroupsPage } from "./pages/groups";
import { OverviewPage } from "./pages/overview";
import { SignIn, TokensPage } from "./pages/tokens";
import { TopicPage } from "./pages/topic";
import { TopicsPage } from "./pages/topics";
import { to, useRoute } from "./router";
import { theme, toggleTheme } from "./theme";
import { Button, Empty, Icon, Said } from "./ui";

function App() {
  const { path } = useRoute();
  const refused = unauthorized.use();
  const signedIn = token.use() !== "";
  const tokens = useTokens(refused, signedIn);
  const dark = theme.use() === "dark";
  useEffect(() => {
    document.title = path[0] ? `${path.slice(path.length > 2 ? 2 : 0, 3).join(" ")} · Ottla` : "Ottla";
    document.querySelector("main")?.scrollTo(0, 0);
  }, [path.join("/")]);
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), document.querySelector("main")?.focus())}>
        To the content
      </a>
      <header class="side">
        <a class="brand" href={to()}>
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="7" />
            <path d="M7 9.8h18M7 16h12M7 22.2h15" />
          </svg>
          Ottla
        </a>
        {!refused && (
          <nav aria-label="Pages">
            <Item at={["", ""]} now={path[0]} icon="overview" text="Overview" />
            <Item at={["topics", "topic"]} now={path[0]} icon="topics" text="Topics" />
            <Item at={["groups", "group"]} now={path[0]} icon="groups" text="Groups" />
            <Item at={["brokers", ""]} now={path[0]} icon="brokers" text="Brokers" />
            {tokens && <Item at={["tokens", ""]} now={path[0]} icon="tokens" text="Tokens" />}
          </nav>
        )}
        <div class="foot">
          <Button kind="plain" onClick={toggleTheme} label={dark ? "Use light colours" : "Use dark colours"} title={dark ? "Light" : "Dark"}>
            <Icon name={dark ? "sun" : "moon"} />
          </Button>
          {signedIn && !refused && (
            <Button kind="plain" onClick={signOut} label="Sign out" title="Sign out">
              <Icon name="out" />
            </Button>
          )}
          <a class="docs" href="../docs">
            API
          </a>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {refused ? <SignIn /> : <Page path={path} />}
      </main>
      <Said />
    </>
  );
}

function Item(p: { at: [string, string]; now: string; icon: Parameters<typeof Icon>[0]["name"]; text: string }) {
  return (
    <a href={p.at[0] ? to(p.at[0]) : to()} aria-current={p.at.includes(p.now) && (p.now !== "" || p.at[0] === "") ? "page" : undefined}>
      <Icon name={p.icon} />
      {p.text}
    </a>
  );
}

/** Whether this server has tokens, and this user may see them. */
function useTokens(refused: boolean, signedIn: boolean): boolean {
  const [have, setHave] = useState(false);
  useEffect(() => {
    if (refused || !signedIn) return setHave(false);
    call({ path: "/tokens" }).then(
      () => setHave(true),
      () => setHave(false),
    );
  }, [refused, signedIn]);
  return have;
}

function Page({ path: [page, ...rest] }: { path: string[] }) {
  switch (page) {
    case "":
      return <OverviewPage />;
    case "topics":
      return <TopicsPage />;
    case "topic":
      if (rest.length >= 2) return <TopicPage key={rest[0] + "/" + rest[1]} cluster={rest[0]} name={rest[1]} view={rest[2] ?? ""} />;
      break;
    case "groups":
      return <GroupsPage />;
    case "group":
      if (rest.length >= 2) return <GroupPage key={rest[0] + "/" + rest[1]} cluster={rest[0]} name={rest[1]} />;
      break;
    case "brokers":
      return <BrokersPage />;
    case "tokens":
      return <TokensPage />;
  }
  return (
    <Empty title="There is no such page">
      <a href={to()}>Overview</a>
    </Empty>
  );
}

render(<App />, document.getElementById("app")!);
